"""One side of the comparison: a model's parameters under our kernels, our reference, or torch's class.

Where torch's class stops at something that ours takes, `Side.prepare` does by hand what it lacks. These are torch's
known limits, each with its reason; everything else is compared as it comes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn.utils import clip_grad_norm_

from fuzz.cases import Case

Tensor = torch.Tensor
Group = dict[str, Any]

CPU, REFERENCE, TORCH = "cpu", "reference", "torch"
# The states that are numbers, whatever the parameter's shape, with their first values.
NUMBERS = {"step": 0.0, "mu_product": 1.0, "eta": 0.0, "mu": 1.0}


class Skipped(Exception):
    """torch's step is left out, because a gradient is not finite."""


class Side:
    """The optimizers of one way of running; `focus` is the one that operations act on."""

    def __init__(self, way: str, case: Case, rounding: str, named: bool, beside_torch: bool) -> None:
        self.way, self.case, self.rounding, self.named = way, case, rounding, named
        self.beside_torch = beside_torch  # torch's class plays, too
        self.optimizers: list[Any] = []
        self.limits: list[dict[str, Any]] = []
        self.focus = 0
        self.steps = 0
        self.notes: list[Any] = []  # what an operation observes: the same on every side
        self.junk: list[Any] = []
        self.hooks: list[Any] = []
        self._named = 0

    # -- the optimizer in focus ---------------------------------------------------------------------------------

    @property
    def optimizer(self) -> Any:
        return self.optimizers[self.focus]

    @optimizer.setter
    def optimizer(self, optimizer: Any) -> None:
        self.optimizers[self.focus] = optimizer

    @property
    def groups(self) -> list[Group]:
        return self.optimizer.param_groups

    @property
    def params(self) -> list[Any]:
        return [p for group in self.groups for p in group["params"]]

    @property
    def limit(self) -> dict[str, Any]:
        """What is done to all gradients before a step."""
        return self.limits[self.focus]

    def settings_of(self, p: Tensor) -> Group:
        """The group of a parameter."""
        return next(group for group in self.groups if any(p is each for each in group["params"]))

    def state(self, p: Tensor) -> dict[str, Any]:
        """What the optimizer keeps for a parameter; empty where there is nothing."""
        return self.optimizer.state.get(p, {})

    # -- building -----------------------------------------------------------------------------------------------

    def named_params(self, params: Sequence[Tensor], names: Sequence[str] = ()) -> list[Any]:
        """Parameters as an optimizer takes them: with their names, in programs that give names."""
        if not self.named:
            return list(params)
        if not names:
            names = [f"p{self._named + index}" for index in range(len(params))]
            self._named += len(params)
        return list(zip(names, params, strict=True))

    def build(self, groups: Sequence[Group], **settings: Any) -> Any:
        """A new optimizer of this side's kind."""
        settings = {"lr": 0.02, **self.case.settings, **settings}
        if self.way == TORCH:
            assert self.case.theirs is not None
            if self.case.sparse != "only":
                settings["foreach"] = False
            return self.case.theirs(groups, **settings)
        limit = self.limit if self.focus < len(self.limits) else {}
        engine = "auto" if self.way == CPU else "reference"
        return self.case.ours(groups, engine=engine, rounding=self.rounding, **limit, **settings)

    def open(self, groups: Sequence[Group]) -> None:
        """Another optimizer, over other parameters; it comes into focus."""
        self.focus = len(self.optimizers)
        self.limits.append({"clip_norm": None, "on_nonfinite": "propagate"})
        self.optimizers.append(self.build(groups))

    # -- stepping -----------------------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step, as this side does it."""
        self.steps += 1
        self._make_dense()
        if self.way == TORCH:
            return self._torch_step(closure)
        try:
            return self.optimizer.step(closure)
        except FloatingPointError:
            if self.limit["on_nonfinite"] != "raise":
                raise
            self.notes.append("raised")
            return None

    def _make_dense(self) -> None:
        """A sparse gradient that came before the group's decay or momentum, or before the parameter was turned."""
        for group in self.groups:
            for p in group["params"]:
                if p.grad is not None and p.grad.is_sparse and not takes_sparse(p, group, self.case):
                    p.grad = p.grad.to_dense()

    def _torch_step(self, closure: Callable[[], Any] | None) -> Any:
        """torch's step, with what ours does to all gradients done by hand between its hooks and its equations."""
        given: list[Tensor | None] = []
        losses: list[Any] = []

        def before() -> Any:
            losses.append(closure() if closure else None)
            given.extend(p.grad for p in self.params)
            for p in self.params:  # some of torch's classes cannot view a gradient that is conjugated by a note
                p.grad = p.grad.resolve_conj() if p.grad is not None and p.grad.is_conj() else p.grad
            self._limit_gradients()
            self.prepare()
            return losses[-1]

        try:
            return self.optimizer.step(before)
        except Skipped:
            if self.limit["on_nonfinite"] == "raise":
                self.notes.append("raised")
                return None
            return losses[-1]
        finally:
            for p, g in zip(self.params, given, strict=False):
                p.grad = g

    def _limit_gradients(self) -> None:
        """Scale, look for what is not finite, clip: the gradients are put back after the step."""
        scales = [float(group.get("gradient_scale", 1.0)) for group in self.groups for _ in group["params"]]
        for p, scale in zip(self.params, scales, strict=True):
            if p.grad is not None and scale != 1.0:
                p.grad = p.grad * scale
        present = [p.grad for p in self.params if p.grad is not None]
        if self.limit["on_nonfinite"] != "propagate" and not all(bool(g.isfinite().all()) for g in present):
            raise Skipped
        if self.limit["clip_norm"] is not None:
            for p in self.params:
                p.grad = None if p.grad is None else p.grad.clone()
            clip_grad_norm_(self.params, self.limit["clip_norm"])

    # -- torch's known limits -----------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Before a step of torch's class: the states that it would stop without."""
        for group in self.groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._complete(p, group)

    def _complete(self, p: Tensor, group: Group) -> None:
        state = self.state(p)
        if self.case.name == "SparseAdam" and "step" in state:
            state["step"] = int(state["step"])  # torch's loader leaves ours a float32 tensor, and computes in float32
        for name, held in state.items():
            # torch leaves the states behind when a parameter changes its dtype
            if name not in NUMBERS and isinstance(held, Tensor) and held.dtype != p.dtype and not held.is_sparse:
                state[name] = held.to(p.dtype)
        if state or self.case.ours.__name__ == "Adagrad":  # which makes its states in the constructor only
            # torch makes all states of a parameter or none: one that a switch came to need later is not made
            for name, first in needed(self.case.ours.__name__, group).items():
                if name not in self.optimizer.state[p]:
                    value = complex(first, first) if p.is_complex() else first
                    made = torch.tensor(first) if name in NUMBERS else torch.full_like(p, value).detach()
                    self.optimizer.state[p][name] = made


def needed(name: str, group: Group) -> dict[str, float]:
    """The states of a torch class under these settings, with their first values. SGD makes its own when it needs it."""
    step = {"step": 0.0}
    if name in ("Adam", "AdamW", "RAdam", "NAdam", "SparseAdam"):
        more = {"max_exp_avg_sq": 0.0} if group.get("amsgrad") else {"mu_product": 1.0} if name == "NAdam" else {}
        return {**step, "exp_avg": 0.0, "exp_avg_sq": 0.0, **more}
    if name == "RMSprop":
        momentum = {"momentum_buffer": 0.0} if group["momentum"] > 0 else {}
        return {**step, "square_avg": 0.0, **momentum, **({"grad_avg": 0.0} if group["centered"] else {})}
    return {
        "SGD": {},
        "Adamax": {**step, "exp_avg": 0.0, "exp_inf": 0.0},
        "Adagrad": {**step, "sum": group.get("initial_accumulator_value", 0.0)},
        "Adadelta": {**step, "square_avg": 0.0, "acc_delta": 0.0},
        "Rprop": {**step, "prev": 0.0, "step_size": float(group["lr"])},
        "ASGD": {**step, "ax": 0.0, "eta": 0.0, "mu": 1.0},
    }[name]


def takes_sparse(p: Tensor, group: Group, case: Case) -> bool:
    """True where both sides step a sparse gradient. torch's SGD with momentum keeps a sparse buffer, to which it cannot
    add a dense gradient: with momentum all are dense."""
    if case.sparse == "only":
        return True
    plain = group.get("weight_decay", 0) == 0 and group.get("momentum", 0) == 0
    return bool(case.sparse) and plain and p.dim() > 0 and p.is_contiguous() and not p.is_complex()
