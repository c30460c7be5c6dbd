"""A model's parameter groups: their own learning rates are shares of the one under trial."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from thalweg.catalogue import Entry
    from thalweg.lab.task.task import Task


def parameters_of(task: Task, model: nn.Module, entry: Entry, rate: Any) -> Any:
    """What a run's optimizer is made of: the model, or the task's groups of its parameters.

    Args:
        rate: the learning rate under trial; None where the trial sets none.
    """
    if task.groups is None:
        return model
    return shared_rates(list(task.groups(model)), entry.default_rate if rate is None else rate)


def shared_rates(params: Sequence[Any], rate: Any) -> list[Any]:
    """Parameter groups whose own rates are shares of the first one's: the trial's rate is the first group's."""
    params = list(params)
    if not params or not isinstance(params[0], dict) or rate is None:
        return params
    first = params[0].get("lr", rate)
    if not (isinstance(first, int | float) and math.isfinite(first) and first > 0):
        return params
    return [{**group, "lr": rate * (group.get("lr", first) / first)} for group in params]
