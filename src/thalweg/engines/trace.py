"""What `per_step` computes, without its numbers: the lines of a program that works a rule's numbers out elsewhere.

`per_step` is plain Python over floats. It is run on `Symbol`s, which write down every operation. Where it asks which
way to go (`if rho > 5`, `max(1, step - t0)`) it is run again for each answer, and the two outcomes are selected from by
the condition: a kernel computes both, as `where` does. A line that was written once is used again.
How a line is spelled, for a kernel or for JavaScript, is the engine's affair: a `Spelling`.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

PATHS = 256  # of a per_step with more ways through it the kernel would be large


class Untraceable(Exception):
    """per_step does something with a number that a kernel could not repeat."""


@dataclass(frozen=True)
class Spelling:
    """An engine's words. `forms` has one for select, mod, power, abs and whatever of `math` there is."""

    forms: Mapping[str, str]
    constant: Callable[[int, float], str]  # of the number at that place among all constants


class Trace:
    """The lines so far, and the way that the present run takes."""

    def __init__(self, spelling: Spelling) -> None:
        self.spelling = spelling
        self.lines: dict[str, str] = {}  # an expression, the name that holds it
        self.constants: dict[str, float] = {}  # by repr, which tells -0.0 from 0.0
        self._answers: list[bool] = []
        self._asked: list[Symbol] = []
        self._paths = 0

    def symbol(self, expression: str) -> Symbol:
        """The value of an expression."""
        return Symbol(self, self.lines.setdefault(expression, f"__n{len(self.lines)}"))

    def name(self, value: Any) -> str:
        """The name of a value in the lines."""
        if isinstance(value, Symbol):
            return value.name
        if not isinstance(value, (int, float)):
            raise Untraceable(f"{value!r} is not a number")
        self.constants[repr(float(value))] = float(value)
        place = list(self.constants).index(repr(float(value)))
        return self.symbol(self.spelling.constant(place, float(value))).name

    def ask(self, condition: Symbol) -> bool:
        """The answer on the present way."""
        for asked, answer in zip(self._asked, self._answers, strict=False):
            if asked.name == condition.name:
                return answer
        if len(self._asked) == len(self._answers):
            self._answers.append(True)
        self._asked.append(condition)
        return self._answers[len(self._asked) - 1]

    def all_branches(self, function: Callable[[], Sequence[Any]]) -> list[str]:
        """The names of what a function returns, over all ways through it."""
        return self._explore(function, [])

    def _explore(self, function: Callable[[], Sequence[Any]], answers: list[bool]) -> list[str]:
        self._paths += 1
        if self._paths > PATHS:
            raise Untraceable(f"there are more than {PATHS} ways through it")
        self._answers, self._asked = list(answers), []
        outcome = [self.name(value) for value in function()]
        taken, asked = self._answers, self._asked
        for depth in reversed(range(len(answers), len(asked))):  # the last question first: the answer was yes
            other = self._explore(function, [*taken[:depth], False])
            condition = asked[depth].name
            outcome = [
                yes if yes == no else self.symbol(self.spelling.forms["select"].format(condition, yes, no)).name
                for yes, no in zip(outcome, other, strict=True)
            ]
        return outcome


class Symbol:
    """A number that is not known yet. What Python does with it becomes a line."""

    __slots__ = ("name", "trace")

    def __init__(self, trace: Trace, name: str) -> None:
        self.trace, self.name = trace, name

    def _with(self, form: str, *others: Any) -> Any:
        if any(isinstance(other, torch.Tensor) for other in others):
            return NotImplemented
        return self.trace.symbol(form.format(self.name, *map(self.trace.name, others)))

    @classmethod
    def __torch_function__(cls, *call: Any) -> Any:
        """What becomes of a number beside a tensor that is traced too, that tensor knows."""
        return NotImplemented

    def _word(self, word: str, *others: Any) -> Any:
        return self._with(self.trace.spelling.forms[word], *others)

    def __add__(self, other: Any) -> Any:
        return self._with("{} + {}", other)

    def __radd__(self, other: Any) -> Any:
        return self._with("{1} + {0}", other)

    def __sub__(self, other: Any) -> Any:
        return self._with("{} - {}", other)

    def __rsub__(self, other: Any) -> Any:
        return self._with("{1} - {0}", other)

    def __mul__(self, other: Any) -> Any:
        return self._with("{} * {}", other)

    def __rmul__(self, other: Any) -> Any:
        return self._with("{1} * {0}", other)

    def __truediv__(self, other: Any) -> Any:
        return self._with("{} / {}", other)

    def __rtruediv__(self, other: Any) -> Any:
        return self._with("{1} / {0}", other)

    def __pow__(self, other: Any) -> Any:
        if isinstance(other, (int, float)) and other == 0.5:
            return self._word("sqrt")
        return self._word("power", other)

    def __rpow__(self, other: Any) -> Any:
        return self.trace.symbol(self.trace.spelling.forms["power"].format(self.trace.name(other), self.name))

    def __mod__(self, other: Any) -> Any:
        return self._word("mod", other)

    def __neg__(self) -> Any:
        return self._with("-{}")

    def __pos__(self) -> Symbol:
        return self

    def __abs__(self) -> Any:
        return self._word("abs")

    def __lt__(self, other: Any) -> Any:
        return self._with("{} < {}", other)

    def __le__(self, other: Any) -> Any:
        return self._with("{} <= {}", other)

    def __gt__(self, other: Any) -> Any:
        return self._with("{} > {}", other)

    def __ge__(self, other: Any) -> Any:
        return self._with("{} >= {}", other)

    def __eq__(self, other: Any) -> Any:
        return self._with("{} == {}", other)

    def __ne__(self, other: Any) -> Any:
        return self._with("{} != {}", other)

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        return self.trace.ask(self)

    def __float__(self) -> float:
        raise Untraceable("it makes a plain float of a number that is only known on the device")

    __int__ = __index__ = __float__


class Switch(Symbol):
    """A setting, which may be one that is on or off."""

    def __bool__(self) -> bool:
        return bool(self != 0.0)


class Mathematics:
    """Python's `math`, for symbols too."""

    WORDS = ("exp", "log", "sqrt", "cos", "sin", "fabs", "pow")
    OTHERS: ClassVar[dict[str, str]] = {"fabs": "abs", "pow": "power"}

    def __getattr__(self, name: str) -> Any:
        own = getattr(math, name)
        if not callable(own):
            return own

        def function(*values: Any) -> Any:
            traces = [value.trace for value in values if isinstance(value, Symbol)]
            if not traces:
                return own(*values)
            if name not in self.WORDS:
                raise Untraceable(f"math.{name} has no counterpart on the device")
            form = traces[0].spelling.forms[self.OTHERS.get(name, name)]
            return traces[0].symbol(form.format(*map(traces[0].name, values)))

        return function


def symbolic(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, with a `math` that takes symbols."""
    if not isinstance(function, types.FunctionType):
        return function
    scope = function.__globals__
    own = {name: Mathematics() for name, value in scope.items() if value is math}
    own |= {name: getattr(Mathematics(), name) for name in Mathematics.WORDS if scope.get(name) is getattr(math, name)}
    if not own:
        return function
    copy = types.FunctionType(function.__code__, {**scope, **own}, function.__name__, None, function.__closure__)
    copy.__defaults__, copy.__kwdefaults__ = function.__defaults__, function.__kwdefaults__
    return copy
