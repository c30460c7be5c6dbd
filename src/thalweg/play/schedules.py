"""Schedules of the learning rate as the page draws and uses them: torch's own schedulers, recorded."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch.optim import lr_scheduler as torch_schedules
from torch.optim.lr_scheduler import LRScheduler

POINTS = 100  # steps that a schedule is recorded over; the page stretches them over a run

Schedule = Callable[[torch.optim.Optimizer], LRScheduler]


def _warm_cosine(optimizer: torch.optim.Optimizer) -> LRScheduler:
    warm = POINTS // 10
    return torch_schedules.SequentialLR(
        optimizer,
        [
            torch_schedules.LinearLR(optimizer, 0.01, total_iters=warm),
            torch_schedules.CosineAnnealingLR(optimizer, POINTS - warm),
        ],
        milestones=[warm],
    )


SCHEDULES: dict[str, Schedule] = {
    "constant": partial(torch_schedules.ConstantLR, factor=1.0),
    "step": partial(torch_schedules.StepLR, step_size=POINTS // 3 + 1, gamma=0.1),
    "exponential": partial(torch_schedules.ExponentialLR, gamma=0.01 ** (1 / POINTS)),
    "linear": partial(torch_schedules.LinearLR, start_factor=1.0, end_factor=0.0, total_iters=POINTS),
    "polynomial": partial(torch_schedules.PolynomialLR, total_iters=POINTS, power=2.0),
    "cosine": partial(torch_schedules.CosineAnnealingLR, T_max=POINTS),
    "warm_cosine": _warm_cosine,
    "restarts": partial(torch_schedules.CosineAnnealingWarmRestarts, T_0=POINTS // 4),
    "one_cycle": partial(torch_schedules.OneCycleLR, max_lr=1.0, total_steps=POINTS + 1, cycle_momentum=False),
    "cyclic": partial(
        torch_schedules.CyclicLR, base_lr=0.1, max_lr=1.0, step_size_up=POINTS // 8, cycle_momentum=False
    ),
}


def factors() -> dict[str, list[float]]:
    """Of each schedule the factors of the learning rate, from the first step to the last."""
    return {name: _recorded(schedule) for name, schedule in SCHEDULES.items()}


def _recorded(schedule: Schedule) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, device="cpu")], lr=1.0)
    scheduler = schedule(optimizer)
    found = []
    for _ in range(POINTS + 1):
        found.append(round(float(optimizer.param_groups[0]["lr"]), 5))
        optimizer.step()
        scheduler.step()
    return found
