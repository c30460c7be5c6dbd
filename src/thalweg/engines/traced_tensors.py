"""Tensors that are not there: torch hands whatever is done with one to an engine's notation, which writes it down.

A `SymbolicTensor` is an expression of one element's place, or, where a tensor was summed up, of none.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch

from thalweg.engines.trace import Trace, Untraceable

SAME = {
    "true_divide": "div", "truediv": "div", "divide": "div", "subtract": "sub", "multiply": "mul", "negative": "neg",
    "bitwise_or": "or", "logical_or": "or", "bitwise_and": "and", "logical_and": "and",
}  # fmt: skip
SUMS = {"sum": "sum", "vector_norm": "norm", "linalg_vector_norm": "norm", "norm": "norm"}


class Notation(ABC):
    """An engine's way of writing: `forms` of what it has a counterpart for, by torch's names."""

    forms: ClassVar[Mapping[str, str]]

    def __init__(self, trace: Trace) -> None:
        self.trace = trace

    @abstractmethod
    def write(self, name: str, texts: Sequence[str]) -> str:
        """The text of a function of elements."""

    @abstractmethod
    def scalar(self, name: str) -> str:
        """A number of the trace as it stands beside elements."""

    @abstractmethod
    def total(self, kind: str, of: SymbolicTensor) -> Any:
        """The sum, or the norm, of all elements."""

    def derived(self, text: str, each: bool) -> SymbolicTensor:
        """A tensor of that text."""
        return SymbolicTensor.of(self, text, each)

    def double(self, of: SymbolicTensor) -> Any:
        """The same in double precision."""
        raise Untraceable("a whole tensor in double precision has no counterpart")


class SymbolicTensor(torch.Tensor):
    """A tensor that is not there: `text` is its element, or its only number where not `each`."""

    text: str
    each: bool
    notation: Notation

    @classmethod
    def of(cls, notation: Notation, text: str, each: bool = True) -> SymbolicTensor:
        made = torch.Tensor._make_subclass(cls, torch.empty((), device="cpu"))
        made.notation, made.text, made.each = notation, text, each
        return made

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        return Call(function, list(arguments), dict(keywords or {})).value()


def name_of(function: Callable[..., Any]) -> str:
    """What a function of torch's is called, whichever way it was: 'add' of `__add__`, `torch.add` and `Tensor.add`."""
    name = function.__name__
    if name.endswith("_") and not name.endswith("__"):
        raise Untraceable(f"torch's {name} writes in place")
    plain = name.strip("_")
    return SAME.get(plain, plain)


class Call:
    """One of torch's functions on such tensors."""

    def __init__(self, function: Callable[..., Any], arguments: list[Any], keywords: Mapping[str, Any]) -> None:
        self.owner = getattr(getattr(function, "__self__", None), "__name__", "")
        self.name = name_of(function)
        self.arguments, self.keywords = arguments, keywords
        self.like: SymbolicTensor = next(each for each in arguments if isinstance(each, SymbolicTensor))
        self.notation = self.like.notation
        other = SAME.get(self.name[1:], self.name[1:])
        if self.name.startswith("r") and other in self.notation.forms:
            self.name, self.arguments = other, arguments[::-1]

    def value(self) -> Any:
        if self.name in SUMS:
            return self.total()
        if self.name == "get":  # of a property: what is asked of it is where it is, and it is on the host
            return self.property()
        if self.name in ("double", "to") and self.arguments[1:] in ([], [torch.float64]) and not self.keywords:
            return self.notation.double(self.like)
        if self.name == "clamp":
            return self.clamp()
        if self.keywords:
            raise Untraceable(f"torch's {self.name} with {', '.join(self.keywords)}")
        if self.name == "div" and not isinstance(self.arguments[0], SymbolicTensor):  # as torch works it out
            over = self.derive("div", [self.notation.scalar(self.notation.trace.name(1.0)), self.like.text])
            return Call(torch.mul, [over, self.arguments[0]], {}).value()
        if self.name in ("ones_like", "zeros_like"):
            one = self.notation.trace.name(1.0 if self.name == "ones_like" else 0.0)
            return self.notation.derived(self.notation.scalar(one), self.like.each)
        if self.name not in self.notation.forms:
            raise Untraceable(f"torch's {self.name} has no counterpart")
        return self.derive(self.name, self.texts())

    def clamp(self) -> Any:
        low, high = (self.keywords.get(name) for name in ("min", "max"))
        if len(self.arguments) > 1 or (low is None) == (high is None):
            raise Untraceable("clamp takes one of min= and max=")
        return Call(
            torch.maximum if high is None else torch.minimum, [self.like, low if high is None else high], {}
        ).value()

    def total(self) -> Any:
        if len(self.arguments) > 1 or self.keywords:
            raise Untraceable(f"{self.name} is of all elements, and 2 is a norm's order")
        return self.notation.total(SUMS[self.name], self.like)

    def property(self) -> Any:
        if self.like is self.arguments[0] and self.owner == "device":
            return torch.device("cpu")
        raise Untraceable(f"a tensor's {self.owner or 'property'} has no counterpart")

    def derive(self, name: str, texts: Sequence[str]) -> SymbolicTensor:
        each = any(each.each for each in self.arguments if isinstance(each, SymbolicTensor))
        return self.notation.derived(self.notation.write(name, texts), each)

    def texts(self) -> list[str]:
        trace, scalar = self.notation.trace, self.notation.scalar
        return [each.text if isinstance(each, SymbolicTensor) else scalar(trace.name(each)) for each in self.arguments]


class States(dict[str, SymbolicTensor]):
    """A tensor's states by letter; reading any other is refused."""

    def __missing__(self, letter: str) -> SymbolicTensor:
        raise Untraceable(f"{letter!r} is no state with an element for each of the parameter's")
