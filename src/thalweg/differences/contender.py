"""One of the two: an optimizer class found by its name, its settings, and its path over given gradients."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from thalweg.lookup import apart, did_you_mean

SWITCHES = ("foreach", "fused", "capturable", "differentiable")  # between implementations of one algorithm
ALLOWED = "package.module.Class or package.module:Class, settings in brackets after it if any"
EMPTY = inspect.Parameter.empty

Gradient = Callable[[int, Tensor], Tensor]
"""The gradient of a step, counted from 1, at the parameter as it stands."""


class DifferenceError(ValueError):
    """What was asked for cannot be compared: names the argument, its value and what is allowed."""


@dataclass
class Path:
    """Where a run went: the parameter before the first step and after each; were the gradients left as they were?"""

    points: list[Tensor]
    intact: bool

    def update(self, step: int) -> Tensor:
        """What a step took away, counted from 1."""
        return self.points[step - 1] - self.points[step]


@dataclass
class Contender:
    """An optimizer class with the settings it is to run with, and the precision it computes in."""

    name: str
    cls: type[torch.optim.Optimizer]
    defaults: Mapping[str, Any]
    own: dict[str, Any] = field(default_factory=dict)  # from the brackets after its name
    settings: dict[str, Any] = field(default_factory=dict)
    precision: float = torch.finfo(torch.float64).eps
    rated: bool = True  # may a probe set lr? Not where one of the two chooses its own

    def has(self, *names: str) -> bool:
        return all(name in self.defaults for name in names)

    def value(self, name: str) -> Any:
        """What a setting is in this comparison."""
        return self.settings.get(name, self.defaults.get(name))

    def build(self, p: Tensor, **changes: Any) -> torch.optim.Optimizer:
        """The optimizer of one parameter, ready to step; DifferenceError for what it refuses."""
        try:
            optimizer = self.cls([p], **{**self.settings, **changes})
        except Exception as error:
            raise DifferenceError(f"{self.name}: {type(error).__name__}: {_first_line(error)}") from error
        train = getattr(optimizer, "train", None)
        if callable(train):  # schedule-free optimizers must be told
            train()
        return optimizer

    def path(
        self, start: Tensor, gradient: Gradient, steps: int, rates: Mapping[int, float] | None = None, **changes: Any
    ) -> Path:
        """Run it. `rates`: a new learning rate from a step on; `changes`: settings on top of its own."""
        p = torch.nn.Parameter(start.clone())
        optimizer = self.build(p, **changes)
        points, intact = [start.clone()], True
        with torch.random.fork_rng(devices=[]):  # a rule that draws numbers draws the same ones in every run
            torch.manual_seed(0)
            for step in range(1, steps + 1):
                for group in optimizer.param_groups if rates and step in rates else ():
                    group["lr"] = (rates or {})[step]
                given = gradient(step, p.detach().clone())
                p.grad = given.clone()
                self._step(optimizer)
                intact = intact and torch.equal(p.grad, given)
                points.append(p.detach().clone())
        return Path(points, intact)

    def _step(self, optimizer: torch.optim.Optimizer) -> None:
        try:
            optimizer.step()
        except Exception as error:
            raise DifferenceError(
                f"{self.name}: its step raised {type(error).__name__}: {_first_line(error)}"
            ) from error


def find(argument: str, given: str | type[torch.optim.Optimizer]) -> Contender:
    """The contender that a name or class stands for; `argument` is what the error calls it."""
    if not isinstance(given, str):
        own: dict[str, Any] = {}
        cls = given
        module = getattr(cls, "__module__", "")
        name = f"{'torch.optim' if module.startswith('torch.optim.') else module}.{getattr(cls, '__name__', cls)}"
    else:
        try:
            where, own = apart(given)
        except ValueError as error:
            raise DifferenceError(f"{argument}: {error}") from None
        cls, name = _import(argument, where), given
    if not (inspect.isclass(cls) and issubclass(cls, torch.optim.Optimizer)):
        raise DifferenceError(f"{argument}: {given!r} is a {type(cls).__name__}; must be a torch.optim.Optimizer class")
    parameters = list(inspect.signature(cls).parameters.values())[1:]
    defaults = {
        each.name: each.default for each in parameters if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
    }
    for each in own:
        if each not in defaults:
            has = f"{near} It has" if (near := did_you_mean(each, defaults)) else "; it has"
            raise DifferenceError(f"{argument}: {name} has no setting {each!r}{has} {', '.join(defaults)}")
    return Contender(name, cls, defaults, own)


def _import(argument: str, where: str) -> Any:
    """What a dotted name, or one with a colon before the class, stands for."""
    module_name, _, name = where.rpartition(":" if ":" in where else ".")
    if not (module_name and name):
        raise DifferenceError(f"{argument}: got {where!r}; must be {ALLOWED}")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise DifferenceError(
            f"{argument}: got {where!r}: {module_name} cannot be imported: {_first_line(error)}; must be {ALLOWED}"
        ) from error
    if not hasattr(module, name):
        near = difflib.get_close_matches(name, dir(module), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise DifferenceError(f"{argument}: got {where!r}: {module_name} has no {name!r}{hint}")
    return getattr(module, name)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[0]


def measure_precision(contender: Contender) -> None:
    """Some step a float64 parameter in float32: seen by a parameter whose last bits do not survive a step."""
    start = torch.ones(4, 4, dtype=torch.float64, device="cpu") + 2.0**-40
    changes: dict[str, Any] = {"weight_decay": 0.0} if contender.has("weight_decay") else {}
    with contextlib.suppress(DifferenceError):  # told where it is run for its path
        end = contender.path(start, lambda step, p: torch.zeros_like(p), 1, **changes).points[-1]
        if torch.equal(end, end.float().double()):
            contender.precision = torch.finfo(torch.float32).eps
