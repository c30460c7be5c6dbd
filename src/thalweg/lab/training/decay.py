"""The decay that a task asks for: each optimizer's own weight decay, or the same penalty in the loss for all."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from thalweg.lab.task.task import Task

if TYPE_CHECKING:
    from thalweg.catalogue import Entry
    from thalweg.lab.training.trial import Configuration

DECAY = "weight_decay"


def has_decay(entry: Entry) -> bool:
    """Whether an optimizer has a weight decay of its own, coupled or decoupled."""
    return DECAY in inspect.signature(entry.optimizer).parameters


def without_decay(task: Task, entries: Sequence[Entry]) -> list[str]:
    """The optimizers that cannot do what the task's `weight_decay` asks of them."""
    return [entry.name for entry in entries if task.weight_decay is not None and not has_decay(entry)]


def settings_of(task: Task, entry: Entry, setting: Configuration) -> dict[str, Any]:
    """The settings of a trial, with the task's weight decay where neither the trial nor its entry names another."""
    own = dict(setting.settings)
    if task.weight_decay is not None and DECAY not in {**entry.settings, **own} and has_decay(entry):
        own[DECAY] = task.weight_decay
    return own


def penalty(task: Task, model: nn.Module) -> Tensor | float:
    """The task's l2 / 2 x the sum of squares of what is trained: added to the loss that is differentiated."""
    return squares(task.l2, [p for p in model.parameters() if p.requires_grad]) if task.l2 else 0.0


def squares(l2: float, params: Sequence[Tensor]) -> Tensor:
    """l2 / 2 x the sum of the squares."""
    sums = [p.square().sum() for p in params]
    return l2 / 2 * sum(sums, start=sums[0].new_zeros(()))
