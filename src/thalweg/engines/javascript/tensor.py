"""`per_tensor` as a function of JavaScript: it is run on `Whole`s, to which torch hands whatever is done with them.

A `Whole` is an expression of one element's place, or, where a tensor was summed up, of none. Of two or three elements
sums and norms have torch's bits; of more, which torch adds up in another order, they are within a rounding or two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from thalweg.engines.javascript.precision import Precision
from thalweg.engines.javascript.refusal import refusal, refusing
from thalweg.engines.javascript.scalars import SPELLING, Recorded
from thalweg.engines.trace import Trace, Untraceable
from thalweg.rule.definition import Rule

FORMS = {
    "add": "{} + {}", "sub": "{} - {}", "mul": "{} * {}", "div": "{} / {}", "neg": "-{}",
    "sqrt": "Math.sqrt({})", "exp": "Math.exp({})", "log": "Math.log({})", "tanh": "Math.tanh({})",
}  # fmt: skip
EXACT = {
    "abs": "Math.abs({})", "sign": "$sign({})", "maximum": "$maximum({}, {})", "minimum": "$minimum({}, {})",
    "square": "{0} * {0}",
}  # fmt: skip
MASKS = {
    "lt": "{} < {}", "le": "{} <= {}", "gt": "{} > {}", "ge": "{} >= {}", "eq": "{} == {}", "ne": "{} != {}",
    "or": "{} || {}", "and": "{} && {}", "bitwise_or": "{} || {}", "bitwise_and": "{} && {}",
    "logical_or": "{} || {}", "logical_and": "{} && {}",
}  # fmt: skip
SAME = {
    "true_divide": "div", "truediv": "div", "divide": "div", "subtract": "sub", "multiply": "mul", "negative": "neg",
}  # fmt: skip
SUMS = {"sum": "$sum", "vector_norm": "$norm", "linalg_vector_norm": "$norm", "norm": "$norm"}


class SymbolicTensor(torch.Tensor):
    """A tensor that is not there: `text` is its element at place i$, or its only number where not `each`."""

    text: str
    each: bool
    written: Trace
    precision: Precision

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        return Call(function, list(arguments), dict(keywords or {})).value()


def symbolic(like: SymbolicTensor, text: str, each: bool) -> SymbolicTensor:
    """A tensor of that text; what is one number is worked out once."""
    made = torch.Tensor._make_subclass(SymbolicTensor, torch.empty((), device="cpu"))
    made.written, made.precision, made.each = like.written, like.precision, each
    made.text = text if each else like.written.symbol(text).name
    return made


class Call:
    """One of torch's functions on such tensors."""

    def __init__(self, function: Callable[..., Any], arguments: list[Any], keywords: Mapping[str, Any]) -> None:
        plain = function.__name__.strip("_")
        self.owner = getattr(getattr(function, "__self__", None), "__name__", "")
        self.name = SAME.get(plain, plain)
        self.arguments, self.keywords = arguments, keywords
        self.like: SymbolicTensor = next(each for each in arguments if isinstance(each, SymbolicTensor))
        reverse = self.name.startswith("r") and self.name[1:] in {*FORMS, *SAME}
        if reverse:
            self.name = SAME.get(self.name[1:], self.name[1:])
            self.arguments = arguments[::-1]

    def value(self) -> Any:
        if self.name in SUMS:
            return self.sum()
        if self.name == "get":  # of a property: what is asked of it is where it is, and it is on the host
            return self.property()
        if self.name in ("double", "to") and self.arguments[1:] in ([], [torch.float64]) and not self.keywords:
            return self.double()
        if self.keywords and self.name != "clamp":
            raise Untraceable(f"torch's {self.name} with {', '.join(self.keywords)}")
        if self.name == "div" and not isinstance(self.arguments[0], SymbolicTensor):
            over = symbolic(self.like, self.rounded(f"1 / {self.like.text}"), self.like.each)
            return Call(torch.mul, [over, self.arguments[0]], {}).value()
        if self.name in FORMS:
            return self.derive(self.rounded(FORMS[self.name].format(*self.texts())))
        for table in (EXACT, MASKS):
            if self.name in table:
                return self.derive(f"({table[self.name].format(*self.texts())})")
        if self.name == "where":
            return self.derive("({} ? {} : {})".format(*self.texts()))
        if self.name in ("ones_like", "zeros_like"):
            return self.derive("1" if self.name == "ones_like" else "0")
        if self.name == "clamp":
            return self.clamp()
        raise Untraceable(f"torch's {self.name} has no counterpart")

    def clamp(self) -> Any:
        low, high = (self.keywords.get(name) for name in ("min", "max"))
        if len(self.arguments) > 1 or (low is None) == (high is None):
            raise Untraceable("clamp takes one of min= and max=")
        return Call(
            torch.maximum if high is None else torch.minimum, [self.like, low if high is None else high], {}
        ).value()

    def sum(self) -> SymbolicTensor:
        if len(self.arguments) > 1 or self.keywords:
            raise Untraceable(f"{self.name} is of all elements, and 2 is a norm's order")
        word = SUMS[self.name] + (self.like.precision.name if self.name != "sum" else "")
        return symbolic(self.like, self.rounded(f"{word}(P$.length, (i$) => {self.like.text})"), False)

    def property(self) -> Any:
        if self.like is self.arguments[0] and self.owner == "device":
            return torch.device("cpu")
        raise Untraceable(f"a tensor's {self.owner or 'property'} has no counterpart")

    def double(self) -> Any:
        """One number in double precision is a number like any other."""
        if self.like.each:
            raise Untraceable("a whole tensor in double precision has no counterpart")
        return self.like.written.symbol(self.like.text)

    def derive(self, text: str) -> SymbolicTensor:
        return symbolic(self.like, text, any(each.each for each in self.arguments if isinstance(each, SymbolicTensor)))

    def rounded(self, text: str) -> str:
        return self.like.precision.round(text)

    def texts(self) -> list[str]:
        trace, narrow = self.like.written, self.like.precision.narrow
        return [
            each.text if isinstance(each, SymbolicTensor) else f"$f({trace.name(each)})" if narrow else trace.name(each)
            for each in self.arguments
        ]


class States(dict[str, SymbolicTensor]):
    """A tensor's states by letter; reading any other is refused."""

    def __missing__(self, letter: str) -> SymbolicTensor:
        raise Untraceable(f"{letter!r} is no state with an element for each of the parameter's")


def of_rule(rule: Rule, precision: Precision) -> str:
    """The function of a rule's measures; 'null' where it has none."""
    if rule.per_tensor is None:
        return "null"
    if rule.matrices or rule.directs:
        first = rule.per_tensor.__code__.co_firstlineno
        what = f"matrices ({', '.join(rule.matrices)})" if rule.matrices else "a direction made of whole tensors"
        raise refusal(rule.name, rule.per_tensor, first, f"{what} need torch")
    trace = Trace(SPELLING)

    def tensor(text: str) -> SymbolicTensor:
        made = torch.Tensor._make_subclass(SymbolicTensor, torch.empty((), device="cpu"))
        made.written, made.precision, made.each, made.text = trace, precision, True, text
        return made

    with refusing(rule.name, rule.per_tensor):
        states = States({name: tensor(f"S$.{name}[i$]") for name in rule.states})
        numbers = {name: trace.symbol(f"N$.{name}") for name in rule.tensor_numbers}
        p, g, per_tensor = tensor("P$[i$]"), tensor("G$[i$]"), rule.per_tensor

        def run() -> dict[str, Any]:
            given = per_tensor(p, g, states, **numbers)
            return {name: _one(name, given[name], trace) for name in rule.measures}

        return f"(P$, G$, S$, N$) => {{\n{Recorded(trace, run).body()}  }}"


def _one(name: str, value: Any, trace: Trace) -> Any:
    if not isinstance(value, SymbolicTensor):
        return value
    if value.each:
        raise Untraceable(f"{name} is a whole tensor, and no number")
    return trace.symbol(value.text)
