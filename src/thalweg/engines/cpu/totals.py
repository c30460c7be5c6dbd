"""What a rule adds up over whole tensors, in one pass of a kernel that writes nothing.

torch would make a tensor of every step of the way: LAMB on 11 million numbers took nine times the stream, a third of it
waiting for fresh memory. So `per_tensor` is run twice. On tensors that are not there it writes down what it adds up,
which is the kernel. Then, with the sums of all tensors in their place, a row for each, it gives everybody's numbers at
once. Where it does more than that (a question, a product of matrices), torch does it, tensor by tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch

from thalweg.engines.cpu.over_chunks import Pass
from thalweg.engines.trace import Spelling, Symbol, Trace, Untraceable
from thalweg.engines.traced_tensors import SUMS, Notation, States, SymbolicTensor, name_of
from thalweg.plan.chunks import Integers
from thalweg.plan.plan import Plan
from thalweg.update.update import Update

# Sums may be taken in any order, as vectors need it: they are in double precision, and rounded once.
SUMMING = Pass(
    "summed", "summed_in_all", "What per_tensor adds up, over each chunk.", ("__wanted", "__sums"),
    '{**OPTIONS, "fastmath": {"contract", "nsz", "reassoc"}}',
)  # fmt: skip
NAMED = {"inf": "math.inf", "-inf": "-math.inf", "nan": "math.nan"}
SPELLING = Spelling(
    {
        **{name: f"math.{name}({{}})" for name in ("exp", "log", "sqrt", "cos", "sin")},
        "abs": "math.fabs({})",
        "power": "{} ** {}",
        "select": "({1} if {0} else {2})",
        "mod": "{} % {}",
    },
    lambda place, value: NAMED.get(repr(value), repr(value)),
)
PIECE = 65536  # elements that are added up together, however many threads there are: the sums have the same bits
# What goes wrong when a function is run on tensors that are not there.
ERRORS = (Untraceable, TypeError, AttributeError, ValueError, RuntimeError, NotImplementedError, LookupError)


def shares(plan: Plan, parts: int) -> tuple[Integers, Integers]:
    """A plan's tensors in pieces, and the bounds of about equal shares of these."""
    chunks, bounds = plan.chunks(1, PIECE)
    if parts > 1:
        ends = np.cumsum(chunks[:, 2])
        inner = np.searchsorted(ends, [plan.total * part / parts for part in range(1, parts)], side="left")
        bounds = np.array([0, *inner, len(chunks)], dtype=bounds.dtype)
    return chunks, bounds


class Straight(Trace):
    """A way without a fork."""

    def ask(self, condition: Symbol) -> bool:
        raise Untraceable("which way it goes depends on a number")


class Lines(Notation):
    """A line of the kernel's loop for every step of the way."""

    forms: ClassVar = {
        **{word: f"{word}({{}})" for word in ("sqrt", "exp", "log", "tanh", "abs", "sign")},
        "add": "{} + {}", "sub": "{} - {}", "mul": "{} * {}", "div": "{} / {}", "neg": "-{}", "square": "{0} * {0}",
        "maximum": "maximum({}, {})", "minimum": "minimum({}, {})", "where": "where({}, {}, {})",
        "lt": "{} < {}", "le": "{} <= {}", "gt": "{} > {}", "ge": "{} >= {}", "eq": "{} == {}", "ne": "{} != {}",
        "or": "{} | {}", "and": "{} & {}",
    }  # fmt: skip
    words = ("sqrt", "exp", "log", "tanh", "abs", "sign", "maximum", "minimum", "where")

    def __init__(self) -> None:
        super().__init__(Straight(SPELLING))
        self.lines: dict[str, str] = {}
        self.totals: list[tuple[str, str]] = []  # kinds, and what is added up
        self.said: set[str] = set()

    def write(self, name: str, texts: Sequence[str]) -> str:
        self.said |= {name} & {*self.words}
        return self.lines.setdefault(self.forms[name].format(*texts), f"__e{len(self.lines)}")

    def scalar(self, name: str) -> str:
        return f"number({name})"

    def total(self, kind: str, of: SymbolicTensor) -> Unknown:
        self.totals.append((kind, of.text))
        return torch.Tensor._make_subclass(Unknown, torch.empty((), device="cpu"))


class Unknown(torch.Tensor):
    """One number that is not known yet. Whatever becomes of it is not known either, and no element may need it."""

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        if any(isinstance(each, SymbolicTensor) for each in arguments):
            raise Untraceable("an element needs a sum")
        if function.__name__ == "__get__":
            return _place(function)
        return next(each for each in arguments if isinstance(each, Unknown))


class Added(torch.Tensor):
    """A whole tensor where only its sums are asked for, which are known."""

    known: Iterator[torch.Tensor]

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        one = next(each for each in arguments if isinstance(each, Added))
        if function.__name__ == "__get__":
            return _place(function)
        return next(one.known) if name_of(function) in SUMS else one


def _place(getter: Callable[..., Any]) -> torch.device:
    if getattr(getattr(getter, "__self__", None), "__name__", "") == "device":
        return torch.device("cpu")
    raise Untraceable("it asks for more than a tensor's elements")


class Totals:
    """What an update's `per_tensor` adds up."""

    def __init__(self, update: Update) -> None:
        self.rule = rule = update.rule
        self.notation = Lines()
        trace = self.notation.trace
        self.names: list[tuple[int, str]] = []  # of the numbers that are wanted: the piece, and the number in it

        def numbers(piece: int, names: Sequence[str]) -> dict[str, Symbol]:
            self.names += [(piece, name) for name in names]
            first = len(self.names) - len(names)
            return {name: trace.symbol(f"__wanted[__r, {first + place}]") for place, name in enumerate(names)}

        staged = [numbers(place, transform.element.numbers) for place, transform in enumerate(update.transforms)]
        own = numbers(len(staged), rule.tensor_numbers)
        p, g, *states = map(self.notation.derived, update.program.tensors, [True] * len(update.program.tensors))
        p, g = update.staged(p, g, [*staged, {}])
        assert rule.per_tensor is not None
        given = rule.per_tensor(p, g, States(zip(rule.states, states, strict=True)), **own)
        if any(isinstance(given[name], SymbolicTensor) for name in rule.measures):
            raise Untraceable("what it measures has an element for each of the parameter's")

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.notation.totals]

    @property
    def words(self) -> set[str]:
        return self.notation.said

    @property
    def lines(self) -> list[str]:
        """Of the loop: what leads to the sums, and each new part of them."""
        lines = [f"{name} = {text}" for text, name in self.notation.lines.items()]
        for place, (kind, text) in enumerate(self.notation.totals):
            lines.append(f"__wide{place} = types.float64({text})")
            lines.append(f"__sum{place} += __wide{place}" + (f" * __wide{place}" if kind == "norm" else ""))
        return lines

    @property
    def before(self) -> list[str]:
        """Of a chunk, before its loop: numbers, in double precision as on the host."""
        lines = [f"{name} = {text}" for text, name in self.notation.trace.lines.items()]
        return [*lines, *(f"__sum{place} = 0.0" for place in range(len(self.kinds)))]

    @property
    def after(self) -> list[str]:
        return [f"__sums[__c, {place}] = __sum{place}" for place in range(len(self.kinds))]

    def wanted(self, plan: Plan) -> npt.NDArray[Any]:
        """The kernel's rows of numbers."""
        return np.array([[row[piece][name] for piece, name in self.names] for row in plan.rows], dtype=np.float64)

    def numbers(self, plan: Plan, chunks: Integers, sums: npt.NDArray[Any]) -> list[dict[str, float]] | None:
        """What the rule measures on each tensor; None where squares have left double precision."""
        totals = np.zeros((len(plan.numels), len(self.kinds)))
        np.add.at(totals, chunks[:, 0], sums)
        norms = [place for place, kind in enumerate(self.kinds) if kind == "norm"]
        if plan.dtype == torch.float64:
            squares = totals[np.array(plan.numels) > 0][:, norms]
            if not np.all((squares > 1e-280) & (squares < np.inf)):
                return None
        totals[:, norms] **= 0.5
        whole = torch.Tensor._make_subclass(Added, torch.empty((), device="cpu"))
        whole.known = iter(torch.from_numpy(totals.T.copy()))
        settings = [plan.rows[row][-1] for row in plan.row_of]
        own = {name: _one_or_each([each[name] for each in settings]) for name in self.rule.tensor_numbers}
        assert self.rule.per_tensor is not None
        given = self.rule.per_tensor(whole, whole, dict.fromkeys(self.rule.states, whole), **own)
        columns = {name: _column(given[name], len(plan.numels)) for name in self.rule.measures}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _one_or_each(values: Sequence[float]) -> Any:
    return values[0] if len({*values}) == 1 else torch.tensor(values, dtype=torch.float64, device="cpu")


def _column(value: Any, tensors: int) -> list[float]:
    if isinstance(value, torch.Tensor) and value.dim():
        return list(map(float, value))
    return [float(value)] * tensors


@cache
def totals_of(update: Update) -> Totals | None:
    """What a kernel can add up for a rule's `per_tensor`; None where torch must run it."""
    rule = update.rule
    if not rule.measures or rule.directs or rule.matrices:
        return None
    try:
        found = Totals(update)
    except ERRORS:
        return None
    return found if found.kinds else None
