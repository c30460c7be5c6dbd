"""A hyperparameter stands once: its default, its valid range (with torch's error message), the range the lab searches.

In a rule it is one keyword of `per_step`: `lr: Rate = 1e-3`. The annotation carries the rest, and can be narrowed:
`lr: Annotated[Rate, Search(2e-2, 5.0)] = 1e-2`.
"""

from __future__ import annotations

import difflib
import inspect
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Set, Sized
from dataclasses import dataclass
from numbers import Real
from typing import Annotated, Any, get_args, get_type_hints

import numpy as np
import torch

__all__ = ["Betas", "Epsilon", "OneOf", "Rate", "Search", "Switch", "Valid"]


@dataclass(frozen=True)
class Valid:
    """The values that are allowed: `low <= value <= high`, without `high` itself where `open_above`.

    `count`: how many such numbers the setting holds, as a tuple or list; None where it is one number alone.
    `none_at`: the places of those that may be None. `message`: where it has a {}, the number's place, from 1, is there.
    """

    message: str
    low: float = 0.0
    high: float = math.inf
    open_above: bool = False
    count: int | None = None
    none_at: tuple[int, ...] = ()

    def text(self, name: str) -> str:
        if self.high == math.inf:
            return f"{name} >= {self.low:g}"
        return f"{self.low:g} <= {name} {'<' if self.open_above else '<='} {self.high:g}"

    def settle(self, value: Any) -> Any:
        """The value as Python has it, where another library's stands for it: an array, a list of a configuration."""
        if self.count is None or isinstance(value, (str, bytes, Mapping, Set)):
            return _number(value)
        if isinstance(value, (tuple, list)) and all(type(each) is float for each in value):
            return value
        return tuple(map(_number, value)) if isinstance(value, Iterable) and isinstance(value, Sized) else value

    def check(self, name: str, value: Any) -> None:
        """ValueError, in torch's words, for a value that is not allowed."""
        value = self.settle(value)
        if self.count is None:
            self._check_number(self.message, name, value)
            return
        if not isinstance(value, (tuple, list)) or len(value) != self.count:
            raise ValueError(f"Invalid {name}: {value!r} ({name} must be {self.count} numbers, {self.text('each')})")
        for index, number in enumerate(value):
            if number is None and index in self.none_at:
                continue
            message = self.message.format(index + 1) if "{}" in self.message else f"{self.message} at index {index}"
            self._check_number(message, f"{name}[{index}]", number)

    def holds(self, value: Any) -> bool:
        """Whether plain numbers are in the range; `high` itself passes."""
        if type(value) is tuple:
            return all([self.low <= each <= self.high for each in (self.numbers(value) if self.none_at else value)])
        return bool(self.low <= value <= self.high)

    def numbers(self, value: Any) -> tuple[Any, ...]:
        """Those that must be in the range."""
        each = value if isinstance(value, tuple) else (value,)
        return tuple(number for index, number in enumerate(each) if number is not None or index not in self.none_at)

    def _check_number(self, message: str, name: str, value: Any) -> None:
        if isinstance(value, torch.Tensor):
            if value.numel() != 1:
                raise ValueError(f"Tensor {name} must be 1-element, got shape {tuple(value.shape)}")
            value = value.item()
        below = value < self.high if self.open_above and is_number(value) else True
        if not (is_number(value) and self.low <= value <= self.high and below):
            raise ValueError(f"{message}: {value!r} (must be a number, {self.text(name)})")


def is_number(value: object) -> bool:
    return isinstance(value, Real)


def _number(value: Any) -> Any:
    """NumPy's numbers as Python's. A tensor stays: autograd or a CUDA graph may follow it."""
    if isinstance(value, (np.generic, np.ndarray)) and value.size == 1:
        return value.item()
    return value


def plain(value: Any) -> Any:
    """A setting as Python numbers: a learning rate may be a tensor, and a script may set an array between steps."""
    kind = type(value)
    if kind is float or kind is bool or kind is int:
        return value
    if isinstance(value, torch.Tensor):
        return value.item()
    if isinstance(value, (tuple, list)):
        return tuple(map(plain, value))
    if isinstance(value, (np.generic, np.ndarray)):
        return value.item() if value.size == 1 else tuple(value.tolist())
    return value


def number(name: str, value: Any) -> Any:
    """A setting of a step as Python numbers; TypeError for what is none: NumPy would take None for NaN."""
    found = plain(value)
    if type(found) is float or isinstance(found, tuple) or is_number(found):
        return found
    raise TypeError(f"{name}={value!r} in a parameter group: a step needs a number")


NOISE = 1e-12  # by which a scheduler's last rate may be below 0


def check_changed(name: str, value: Any, valid: Valid) -> None:
    """Of a setting that a script or a scheduler has changed since: ValueError for NaN, which all parameters would be
    after the step, and for what is outside a range that ends, TypeError for one number in place of several. What is
    below an open range goes its way, as in torch (a rate below 0 goes uphill), with a warning."""
    if (len(value) if type(value) is tuple else None) != valid.count:
        wanted = "one number" if valid.count is None else f"{valid.count} numbers"
        raise TypeError(f"{name}={value!r} in a parameter group: a step needs {wanted}, {valid.text(name)}")
    if valid.holds(value):
        return
    each = valid.numbers(value)
    if valid.high < math.inf or any(number != number for number in each):
        raise ValueError(f"{name}={value!r} in a parameter group: a step needs a number, {valid.text(name)}")
    if min(each) < valid.low - NOISE:
        warnings.warn(
            f"{name} in a parameter group was set outside of {valid.text(name)}: it is taken, as torch takes it",
            stacklevel=2,
        )


def slip(key: str, known: Iterable[str]) -> str | None:
    """The setting that a key of a group all but spells. One with a word or a digit more is a key of the user's own."""
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.85)
    if not near or set(near[0].split("_")) < set(key.split("_")) - {""} or any(each.isdigit() for each in key):
        return None
    return near[0]


@dataclass(frozen=True)
class OneOf:
    """A setting that is on or off, or one of a few words."""

    values: tuple[Any, ...] = (True, False)

    def text(self, name: str) -> str:
        return f"{name} is {' or '.join(map(repr, self.values))}"

    def settle(self, value: Any) -> Any:
        """The whole numbers 1 and 0, of whatever kind, as True and False, where these are the values. Not 1.0: a
        fraction is meant for something else (ADOPT's clip is a number in other libraries)."""
        if isinstance(value, torch.Tensor) and value.numel() == 1:
            value = value.item()
        value = _number(value)
        return bool(value) if True in self.values and isinstance(value, int) and value in (0, 1) else value

    def check(self, name: str, value: Any) -> None:
        value = self.settle(value)
        if not any(value is each or (isinstance(each, str) and value == each) for each in self.values):
            raise ValueError(f"Invalid {name} value: {value!r} (must be {' or '.join(map(repr, self.values))})")


@dataclass(frozen=True)
class Search:
    """The range in which the lab looks for a good value, on a logarithmic scale."""

    low: float
    high: float


Rate = Annotated[float, Valid("Invalid learning rate"), Search(1e-4, 1e-1)]
Betas = Annotated[tuple[float, float], Valid("Invalid beta parameter", high=1.0, open_above=True, count=2)]
ThreeBetas = Annotated[tuple[float, float, float], Valid("Invalid beta parameter", high=1.0, open_above=True, count=3)]
Epsilon = Annotated[float, Valid("Invalid epsilon value")]
Decay = Annotated[float, Valid("Invalid weight_decay value"), Search(1e-5, 1.0)]
Momentum = Annotated[float, Valid("Invalid momentum value")]
ON_OFF = OneOf()
Switch = Annotated[bool, ON_OFF]
AnyNumber = Annotated[float, Valid("Invalid value", low=-math.inf)]


@dataclass(frozen=True)
class Hyperparameter:
    """One setting of a rule, as its `per_step` declares it."""

    name: str
    default: Any
    rule: Valid | OneOf
    search: tuple[float, float] | None

    @property
    def valid(self) -> str:
        """The allowed values in words, such as 'lr >= 0'."""
        return self.rule.text(self.name)

    def settle(self, value: Any) -> Any:
        """The value as it is kept: a number, a tuple or a switch of Python's, or a tensor."""
        return self.rule.settle(value)

    def check(self, value: Any) -> None:
        """ValueError for a value that is not allowed."""
        self.rule.check(self.name, value)


def _details(hint: Any) -> tuple[Any, ...]:
    """What an annotation says beside the type. Where the default is None, Python 3.10 puts an Optional around it."""
    annotated = hint if hasattr(hint, "__metadata__") else next(iter(get_args(hint)), None)
    return tuple(getattr(annotated, "__metadata__", ()))


def declared(function: Callable[..., Any]) -> Iterator[Hyperparameter]:
    """The hyperparameters in a function's signature: its keyword-only arguments."""
    hints = get_type_hints(function, include_extras=True)
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is not parameter.KEYWORD_ONLY:
            continue
        details = _details(hints.get(name))
        valid = [detail for detail in details if isinstance(detail, (Valid, OneOf))]
        search = [(detail.low, detail.high) for detail in details if isinstance(detail, Search)]
        if not valid or parameter.default is parameter.empty:
            raise ValueError(
                f"hyperparameter {name!r} of {function.__qualname__} needs a default and an annotation "
                f"with a valid range, as in '{name}: Rate = 1e-3' (see thalweg.rule.hyperparameters)"
            )
        yield Hyperparameter(name, parameter.default, valid[-1], search[-1] if search else None)
