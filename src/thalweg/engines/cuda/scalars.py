"""The kernel that works a recipe's numbers out on the device, in double precision, one program for each tensor.

Under a CUDA graph nothing may come from the host: the step counts lie on the device, and so do the learning rate, where
it is a tensor, and what a gradient scaler found. One small kernel reads these, does what `per_step` says and writes the
rows of numbers that the update reads. A power is exp(y log x) here, off by about y log(x) 1e-16: 1e-13 at the worst.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from numbers import Real
from typing import Any

from thalweg.engines.trace import Spelling, Switch, Trace, Untraceable, symbolic
from thalweg.update.transforms import NUMBERS
from thalweg.update.update import Group, Update

Leaves = tuple[tuple[str, int], ...]  # a setting's name and how many numbers it has; -1 for one that is no tuple

SPELLING = Spelling(
    {
        **{name: f"tl.{name}({{}})" for name in ("exp", "log", "sqrt", "cos", "sin", "abs")},
        "power": "power({}, {})",
        "select": "tl.where({}, {}, {})",
        "mod": "{0} - {1} * tl.floor({0} / {1})",
    },
    lambda place, value: f"constant({place})",
)
TEMPLATE = '''"""{name}: its numbers, for CUDA. Made by thalweg from the rule's text; safe to delete."""

import triton
import triton.language as tl


@triton.jit
def power(x, y):
    """x to the power of y; anything to the power of 0 is 1."""
    return tl.where(y == 0.0, 1.0, tl.exp(y * tl.log(x)))


@triton.jit
def key(step):
    """64 bits that differ for every step (splitmix64)."""
    x = step.to(tl.int64).to(tl.uint64) * 0x9E3779B97F4A7C15
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB
    return (x ^ (x >> 31)).to(tl.int64, bitcast=True)


@triton.jit
def numbers(__ages, __places, __groups, __settings, __verdict, __row_of, __rows, __keys):
    """One tensor's row. A verdict is (factor of all gradients, whether the step is left out)."""
    __t = tl.program_id(0).to(tl.int64)
    __a = __ages + tl.load(__places + __t) * {names}
    __c = __settings + tl.load(__groups + __t) * {width}
    __live = tl.load(__verdict + 1) == 0.0
{lines}
{stores}
    tl.store(__row_of + __t, tl.where(__live, __t, -1))
    tl.store(__keys + __t, key({step}))
'''


def numeric(value: Any) -> bool:
    """True for what is a number on the device: plain numbers, switches, tensors."""
    return isinstance(value, Real) or hasattr(value, "dtype")


def leaves(update: Update, group: Group) -> Leaves:
    """The settings that a recipe's numbers come from."""
    found = []
    for name in dict.fromkeys((*update.rule.hyperparameters, *NUMBERS)):
        value = group[name]
        if isinstance(value, (tuple, list)):
            found.append((name, len(value)))
        elif numeric(value):
            found.append((name, -1))
        else:
            raise Untraceable(f"{name}={value!r} is not a number")
    return tuple(found)


def flat(group: Group, of: Leaves) -> Iterator[tuple[str, Any]]:
    """A group's numbers in that order, each with the name of its setting."""
    for name, count in of:
        for value in [group[name]] if count < 0 else group[name]:
            yield name, value


class Numbers:
    """What a recipe's per-step functions compute: lines, and where their results go."""

    def __init__(self, update: Update, names: tuple[str, ...], of: Leaves) -> None:
        self.trace, self.update = Trace(SPELLING), update
        rule = update.rule
        self.step = self.trace.symbol("tl.load(__a).to(tl.float64) + tl.full((), 1.0, tl.float64)")
        places = {name: names.index(name) for name in rule.carried}
        carried = [self.trace.symbol(f"tl.load(__a + {place}).to(tl.float64)") for place in places.values()]
        count = sum(max(number, 1) for _, number in of)
        settings = iter([Switch(self.trace, self.trace.symbol(f"setting({place})").name) for place in range(count)])
        given: dict[str, Any] = {
            name: next(settings) if number < 0 else tuple(next(settings) for _ in range(number)) for name, number in of
        }
        scale = self.trace.symbol("tl.load(__verdict)")
        self.outputs = self.trace.all_branches(self._function(carried, given, scale, list(places)))
        self.settings, self.places = count, list(places.values())

    def _function(
        self, carried: list[Any], given: Mapping[str, Any], scale: Any, names: list[str]
    ) -> Callable[[], list[Any]]:
        update = self.update
        per_step = symbolic(update.rule.per_step)
        own = {name: given[name] for name in update.rule.hyperparameters}

        def run() -> list[Any]:
            numbers = per_step(self.step, *carried, **own)
            pieces = (*[transform.per_step(given, scale) for transform in update.transforms], numbers)
            return [*update.program.row(update.element_numbers(pieces)), *(numbers[name] for name in names)]

        return run

    @property
    def constants(self) -> list[float]:
        """What stands in each row of settings after these: literals would be float32 in a kernel."""
        return list(self.trace.constants.values())

    @property
    def width(self) -> int:
        return self.settings + len(self.constants)

    def line(self, expression: str) -> str:
        for word, first in (("setting", 0), ("constant", self.settings)):
            if expression.startswith(f"{word}("):
                return f"tl.load(__c + {first + int(expression[len(word) + 1 : -1])})"
        return expression


def traced(update: Update, names: tuple[str, ...], of: Leaves) -> Numbers:
    """The numbers of a recipe; `names` are what the ages hold. Untraceable, with the reason, where it cannot be."""
    try:
        return Numbers(update, names, of)
    except TypeError as error:  # an operation that symbols do not have
        raise Untraceable(str(error)) from None


def source(update: Update, names: tuple[str, ...], of: Leaves) -> str:
    """The kernel as text."""
    found = traced(update, names, of)
    pad, count = " " * 4, len(update.program.formulas)
    targets = [f"__rows + __t * {count} + {index}" for index in range(count)]
    stores = [f"tl.store({at}, {value})" for at, value in zip(targets, found.outputs, strict=False)]
    kept = [(found.step.name, 0), *zip(found.outputs[count:], found.places, strict=True)]
    # Not by a mask: the interpreter of Triton 3.2 writes a number whatever its mask says.
    stores += [f"tl.store(__a + {place}, tl.where(__live, {value}, tl.load(__a + {place})))" for value, place in kept]
    return TEMPLATE.format(
        name=update.name,
        names=len(names),
        width=found.width,
        lines="\n".join(f"{pad}{name} = {found.line(expression)}" for expression, name in found.trace.lines.items()),
        stores="\n".join(pad + line for line in stores),
        step=found.step.name,
    )
