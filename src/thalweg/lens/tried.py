"""Advice is tried before it is given: short runs from a snapshot, each with one change, on the same batches.

What counts is the loss on batches that no short run trains on, against the run with nothing changed: a difference for
each order of the batches, and a t-interval over these.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from thalweg.lens.finding import Finding
from thalweg.lens.preflight import SMALL
from thalweg.roles import roles

Loss = Callable[[nn.Module, Any], Tensor]
T_95 = {3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365}  # Student's t for so many differences
FEWEST_BATCHES = 4
CLIP = 1.0


@dataclass(frozen=True)
class Change:
    """One change of a run: of its settings before the first step, of its gradients or of its rate at each."""

    name: str  # as a line to paste has it
    settings: Callable[[nn.Module, Optimizer], None] = lambda model, optimizer: None
    clip: float | None = None
    warm: int = 0  # steps over which the rate rises


@dataclass(frozen=True)
class Tried:
    """What a change did: the loss with it less the loss without, and half the width of its 95 % interval."""

    change: str
    difference: float
    margin: float
    steps: int

    @property
    def helps(self) -> bool:
        """Whether the loss is surely lower with it."""
        return self.difference + self.margin < 0


def times(factor: float) -> Change:
    """The rate of every group times so much."""

    def settings(model: nn.Module, optimizer: Optimizer) -> None:
        for group in optimizer.param_groups:
            group["lr"] = group["lr"] * factor

    return Change(f"lr x {factor:g}" if factor >= 1 else f"lr / {1 / factor:g}", settings)


def _beta2(value: float) -> Change:
    def settings(model: nn.Module, optimizer: Optimizer) -> None:
        for group in optimizer.param_groups:
            if "betas" in group:
                group["betas"] = (group["betas"][0], value)

    return Change(f"beta2={value:g}", settings)


def _eps(model: nn.Module, optimizer: Optimizer) -> None:
    for group in optimizer.param_groups:
        if isinstance(group.get("eps"), float):
            group["eps"] = 1e-8


def _usual_decay(model: nn.Module, optimizer: Optimizer) -> None:
    for group in optimizer.param_groups:
        if group.get("weight_decay"):
            group["weight_decay"] = 0.01


def _no_decay(model: nn.Module, optimizer: Optimizer) -> None:
    small = {id(each.parameter) for each in roles(model) if each.role in SMALL}
    for group in list(optimizer.param_groups):
        apart = [p for p in group["params"] if id(p) in small]
        if apart and group.get("weight_decay"):
            group["params"] = [p for p in group["params"] if id(p) not in small]
            optimizer.param_groups.append({**group, "params": apart, "weight_decay": 0.0})


CHANGES: dict[str, tuple[Change, ...]] = {  # by finding: those whose advice is a change of the optimizer
    "lr_too_low": (times(3), times(10)),
    "lr_too_high": (times(1 / 3), times(0.1), times(0.01)),
    "no_warm_up": (Change("warm-up over 20 steps", warm=20), times(1 / 3)),
    "exploding_gradients": (Change(f"clip_grad_norm_({CLIP:g})", clip=CLIP), times(1 / 3)),
    "beta2_too_long": (_beta2(0.95),),
    "beta2_too_short": (_beta2(0.99),),
    "eps_too_large": (Change("eps=1e-08", _eps),),
    "decay_too_strong": (Change("weight_decay=0.01", _usual_decay),),
    "decay_on_norms": (Change("no decay on norms and biases", _no_decay),),
}


def tried(
    findings: Sequence[Finding],
    model: nn.Module,
    optimizer: Optimizer,
    loss: Loss,
    batches: Sequence[Any],
    *,
    steps: int = 100,
    repeats: int = 5,
) -> list[Finding]:
    """The findings, those whose advice changes the optimizer with what it did. Model and optimizer stay as they are.

    Raises:
        ValueError: naming the argument, its value and what is allowed.
    """
    if not callable(loss):
        raise ValueError(f"loss: got {loss!r}; must be a function of a model and a batch")
    if not isinstance(steps, int) or steps < 1:
        raise ValueError(f"steps: got {steps!r}; must be a whole number, at least 1")
    if repeats not in T_95:
        raise ValueError(f"repeats: got {repeats!r}; must be {min(T_95)} to {max(T_95)}")
    if not isinstance(batches, Sequence):
        raise ValueError(f"batches: got a {type(batches).__name__}; must be a list: each is used often")
    if len(batches) < FEWEST_BATCHES:
        raise ValueError(f"batches: got {len(batches)}; must be at least {FEWEST_BATCHES}, a quarter is held back")
    wanted = {change.name: change for each in findings for change in CHANGES.get(each.name, ())}
    if not wanted:
        return list(findings)
    plain = _losses(Change("nothing"), model, optimizer, loss, batches, steps, repeats)
    known = {
        name: _compared(change, plain, _losses(change, model, optimizer, loss, batches, steps, repeats), steps)
        for name, change in wanted.items()
    }
    found = []
    for each in findings:
        own = [known[change.name] for change in CHANGES.get(each.name, ())]
        best = min(own, key=lambda one: (not one.helps, one.difference), default=None)
        found.append(each if best is None else replace(each, tried=best))
    return found


def compare(
    change: Change, model: nn.Module, optimizer: Optimizer, loss: Loss, batches: Sequence[Any], steps: int, repeats: int
) -> Tried:
    """What one change does."""
    given = (model, optimizer, loss, batches, steps, repeats)
    return _compared(change, _losses(Change("nothing"), *given), _losses(change, *given), steps)


def _compared(change: Change, plain: Sequence[float], changed: Sequence[float], steps: int) -> Tried:
    differences = [b - a for a, b in zip(plain, changed, strict=True)]
    if not all(map(math.isfinite, differences)):
        worse = any(not math.isfinite(b) for b in changed)
        return Tried(change.name, math.inf if worse else -math.inf, 0.0, steps)
    width = T_95[len(differences)] * stdev(differences) / len(differences) ** 0.5
    return Tried(change.name, fmean(differences), width, steps)


def _losses(
    change: Change, model: nn.Module, optimizer: Optimizer, loss: Loss, batches: Sequence[Any], steps: int, repeats: int
) -> list[float]:
    """The loss after a short run, for each order of the batches; what is drawn depends on that order alone."""
    devices = {p.device.index or 0 for p in model.parameters() if p.is_cuda}
    found = []
    held = max(1, len(batches) // 4)
    for number in range(repeats):
        with torch.random.fork_rng(devices=sorted(devices)):
            torch.manual_seed(number)
            own, ours = copy.deepcopy((model, optimizer))
            own.train()
            change.settings(own, ours)
            _run(change, own, ours, loss, batches[held:], steps)
            own.eval()
            with torch.no_grad():
                found.append(fmean(float(loss(own, batch)) for batch in batches[:held]))
    return found


def _run(change: Change, model: nn.Module, optimizer: Any, loss: Loss, batches: Sequence[Any], steps: int) -> None:
    order: list[int] = []
    rates = [group["lr"] for group in optimizer.param_groups]
    for step in range(steps):
        order = order or torch.randperm(len(batches), device="cpu").tolist()
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * min(1.0, (step + 1) / change.warm) if change.warm else rate
        chosen = batches[order.pop()]

        def closure(batch: Any = chosen) -> Tensor:
            optimizer.zero_grad()
            value = loss(model, batch)
            value.backward()  # type: ignore[no-untyped-call]
            if change.clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), change.clip)
            return value

        optimizer.step(closure)
    if callable(mode := getattr(optimizer, "eval", None)):  # Schedule-Free: the weights to be judged
        mode()
