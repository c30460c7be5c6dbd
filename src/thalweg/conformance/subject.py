"""The optimizer under trial, as a black box: how to make one, feed it gradients and step it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch

from thalweg.conformance.errors import BrokenError, RefusedError
from thalweg.conformance.evidence import copies, different, near

Gradients = Sequence[torch.Tensor | None]
FLAGS = ("foreach", "fused", "capturable", "differentiable")
IMPLEMENTATIONS: list[dict[str, Any]] = [{"foreach": False}, {"foreach": True}, {"fused": True}]
CHANGES = (2.0**-12, 2.0**-20)  # the small one shows a basis that is left to chance (SOAP)
SILENT = 16  # steps that a rule may take to find its footing before it moves anything
SEEN = 4  # elements and steps with which a coupling between elements shows


@dataclass(frozen=True)
class Feed:
    """What a step needs: a closure, sparse gradients, matrices only."""

    closure: bool = False
    sparse: bool = False
    matrices: bool = False

    def __str__(self) -> str:
        needs = ("closure", "a closure"), ("sparse", "sparse gradients"), ("matrices", "2-dimensional parameters")
        return " and ".join(words for name, words in needs if getattr(self, name)) or "nothing but a gradient"


# From the plainest to the most particular.
FEEDS = [Feed(c, s, m) for m in (False, True) for s in (False, True) for c in (False, True)]


def parameters_of(cls: type[torch.optim.Optimizer]) -> Mapping[str, inspect.Parameter]:
    """The constructor's parameters by name."""
    return inspect.signature(cls).parameters


def takes(cls: type[torch.optim.Optimizer], name: str) -> bool:
    """The constructor has a setting of this name."""
    return name in parameters_of(cls)


def variants_of(cls: type[torch.optim.Optimizer], settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The implementations that the constructor offers; those that the user has chosen stand."""
    if any(flag in settings for flag in ("foreach", "fused")):
        return [{}]
    return [flags for flags in IMPLEMENTATIONS if all(takes(cls, name) for name in flags)] or [{}]


@contextmanager
def refusals() -> Iterator[None]:
    """What is raised in here is the optimizer's doing."""
    try:
        yield
    except BrokenError:  # what a law's own closure or hook saw
        raise
    except Exception as error:
        raise RefusedError(error) from error


@dataclass
class Subject:
    """One class with settings, in one implementation (`variant`), under one switch (`mode`)."""

    cls: type[torch.optim.Optimizer]
    settings: dict[str, Any]
    variant: dict[str, Any] = field(default_factory=dict)
    mode: dict[str, Any] = field(default_factory=dict)

    # -- making and stepping ------------------------------------------------------------------------------------

    def build(self, params: Any, **more: Any) -> torch.optim.Optimizer:
        """An optimizer of these parameters or groups; RefusedError with what the constructor raises."""
        with refusals():
            optimizer = self.cls(params, **{**self.settings, **self.variant, **self.mode, **more})
            train = getattr(optimizer, "train", None)
            if callable(train):
                train()  # schedule-free optimizers ask for it before a step, as a model in training does
            return optimizer

    def step(self, optimizer: torch.optim.Optimizer, gradients: Gradients, *, as_they_are: bool = False) -> Any:
        """Give each parameter its gradient (a copy, unless `as_they_are`) and step; RefusedError if that raises."""
        params = parameters_of_optimizer(optimizer)

        def give() -> torch.Tensor:
            total = torch.zeros((), device="cpu")
            for p, g in zip(params, gradients, strict=True):
                p.grad = g if g is None or as_they_are else self._ready(g)
                if self.feed.closure and g is not None and not g.is_meta:
                    total = total + (p.detach() * g.to_dense()).sum().abs().float()  # a loss with this gradient
            return total

        give()
        with refusals():
            return optimizer.step(give) if self.feed.closure else optimizer.step()  # type: ignore[arg-type]

    def _ready(self, g: torch.Tensor) -> torch.Tensor:
        return g.to_sparse(1) if self.feed.sparse and not g.is_sparse and g.dim() else g.clone()

    def run(self, params: Sequence[torch.Tensor], steps: Sequence[Gradients], **more: Any) -> torch.optim.Optimizer:
        """Make an optimizer of the parameters and step it over the gradients."""
        optimizer = self.build(list(params), **more)
        for gradients in steps:
            self.step(optimizer, gradients)
        return optimizer

    # -- parameters and gradients -------------------------------------------------------------------------------

    def params(self, *shapes: Any, dtype: torch.dtype = torch.float32, seed: int = 0) -> list[torch.nn.Parameter]:
        """Parameters with normal values; by default a matrix and a vector, or two matrices where only those go."""
        drawn = numbers(self.shapes(*shapes), seed, dtype)
        return [torch.nn.Parameter(value) for value in drawn]

    def shapes(self, *shapes: Any) -> list[tuple[int, ...]]:
        """A whole number is a vector of so many elements, as a matrix where the optimizer takes matrices only."""
        chosen = shapes or ((4, 3), 7)
        return [self.vector(shape) if isinstance(shape, int) else tuple(shape) for shape in chosen]

    def vector(self, size: int) -> tuple[int, ...]:
        """The shape of so many elements in a row."""
        return (1, size) if self.feed.matrices else (size,)

    @cached_property
    def feed(self) -> Feed:
        """The plainest feed with which a step goes through; RefusedError with the first error if none does."""
        first: RefusedError | None = None
        for feed in FEEDS:
            trial = Subject(self.cls, self.settings, self.variant, self.mode)
            trial.__dict__["feed"] = feed
            params = trial.params()
            try:
                trial.run(params, gradients(params, 2))
                return feed
            except RefusedError as error:
                first = first or error
        assert first is not None
        raise first

    # -- what kind of rule it is --------------------------------------------------------------------------------

    @cached_property
    def defaults(self) -> dict[str, Any]:
        """The settings as the optimizer holds them."""
        return dict(self.build(self.params()).defaults)

    def has(self, name: str) -> bool:
        """A setting of this name can be given, and is held in the groups."""
        return name in self.defaults and takes(self.cls, name)

    @cached_property
    def modes(self) -> list[Subject]:
        """This subject, and it again under each switch that it takes: every boolean, momentum, weight decay."""
        switches = [{}, *self._switches()]
        found = []
        for mode in switches:
            one = Subject(self.cls, self.settings, self.variant, mode) if mode else self
            try:
                _ = one.feed
            except RefusedError:
                continue
            found.append(one)
        return found

    def _switches(self) -> list[dict[str, Any]]:
        first = {
            name: value for name, value in self.defaults.items() if name not in self.settings and takes(self.cls, name)
        }
        nothing = {name for name, value in first.items() if isinstance(value, int | float) and value == 0}
        moving = {"momentum": 0.9} if "momentum" in nothing and not isinstance(first["momentum"], bool) else {}
        decay = {"weight_decay": 0.1} if "weight_decay" in nothing else {}
        booleans = [name for name, value in first.items() if isinstance(value, bool) and name not in FLAGS]
        modes = [moving, decay]
        for name in booleans:
            modes.append({name: not first[name], **(moving if name == "nesterov" else {})})
        return [mode for mode in modes if mode]

    @cached_property
    def couples_elements(self) -> bool:
        """An element's step depends on its neighbors' gradients, as with norms over a tensor."""
        return self._coupled([(SEEN, SEEN)])

    @cached_property
    def couples_parameters(self) -> bool:
        """A parameter's step depends on other parameters' gradients."""
        return self._coupled([(1, 1), (SEEN, SEEN)])

    def _coupled(self, shapes: Sequence[Any]) -> bool:
        """Does a change in the very first element's gradient show anywhere else?"""
        return self._spreads(shapes, from_zero=False) or self._spreads(shapes, from_zero=True)

    def _spreads(self, shapes: Sequence[Any], from_zero: bool) -> bool:
        """From zero the steps show in full, however small they are at first (Prodigy); but norms may be without use."""
        results = []
        for factor in (1.0, 3.0):
            params = self.params(*shapes)
            for p in params if from_zero else ():
                p.data.zero_()
            steps = gradients(params, 4 * SEEN if from_zero else SEEN)
            for each in steps:
                each[0].view(-1)[0] *= factor
            self.run(params, steps)
            results.append(torch.cat([p.flatten() for p in copies(params)])[1:])
        return bool(different(*results).any())

    @cached_property
    def growth(self) -> float:
        """How many times as large a small change in the gradients is in the parameters.

        About 1 for most rules. Where all elements act on each other (L-BFGS) it can be hundreds, as for rounding.
        """
        if not self.couples_elements:
            return 1.0
        runs = []
        for change in (0.0, *CHANGES):
            params = self.params((4, 3), 7, (7, 5))
            steps = gradients(params, SEEN)
            for each, noise in zip(steps, gradients(params, SEEN, seed=2), strict=True):
                for g, n in zip(each, noise, strict=True):
                    g += change * n
            self.run(params, steps)
            runs.append(torch.cat([p.flatten() for p in copies(params)]))
        grown = [float((run - runs[0]).abs().max()) / by for run, by in zip(runs[1:], CHANGES, strict=True)]
        return max(1.0, *grown)

    @cached_property
    def silent(self) -> int:
        """How many steps go by before the first that moves anything: SOAP's first step founds a basis."""
        params = self.params()
        optimizer, before = self.build(params), copies(params)
        for count, each in enumerate(gradients(params, SILENT)):
            self.step(optimizer, each)
            if any(bool(different(p, old).any()) for p, old in zip(params, before, strict=True)):
                return count
        return 0

    def near(
        self,
        found: Sequence[torch.Tensor],
        wanted: Sequence[torch.Tensor],
        steps: int,
        what: str = "the parameters",
        floor: float = 1.0,
    ) -> None:
        """BrokenError unless the results agree to the rounding of so many steps of this rule, on numbers about 1."""
        near(found, wanted, steps, what, self.growth, floor)


def parameters_of_optimizer(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    """All parameters of an optimizer, in order."""
    return [p for group in optimizer.param_groups for p in group["params"]]


def numbers(shapes: Sequence[Any], seed: int = 0, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    """Normal numbers, the same in every dtype but for rounding."""
    generator = torch.Generator().manual_seed(seed)
    wide = torch.complex128 if dtype.is_complex else torch.float64
    return [torch.randn(shape, generator=generator, dtype=wide, device="cpu").to(dtype) for shape in shapes]


def gradients(params: Sequence[torch.Tensor], steps: int, seed: int = 1) -> list[list[torch.Tensor]]:
    """Normal gradients for so many steps, of the parameters' shapes and dtypes."""
    return [
        [numbers([p.shape], 10_000 * seed + 100 * step + place, p.dtype)[0] for place, p in enumerate(params)]
        for step in range(steps)
    ]


def slots(optimizer: torch.optim.Optimizer, p: torch.Tensor) -> dict[str, torch.Tensor]:
    """The states of a parameter that have a number for each of its elements."""
    return {
        str(name): value
        for name, value in optimizer.state.get(p, {}).items()
        if isinstance(value, torch.Tensor) and value.shape == p.shape and p.dim() and value.dtype.is_floating_point
    }


def words(settings: Mapping[str, Any]) -> str:
    """Settings as one would type them."""
    return ", ".join(f"{name}={value!r}" for name, value in settings.items())


def quietly(action: Callable[[], Any]) -> str:
    """What an action raises, in words; empty if nothing."""
    try:
        action()
    except RefusedError as error:
        return str(error)
    return ""
