"""The learning rate's schedule: any of torch's schedulers, stepped by the gradient step or by the epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from thalweg.lab.errors import TaskError
from thalweg.lab.task.length import evaluations, total_steps

if TYPE_CHECKING:
    from thalweg.lab.task.task import Task


class Schedule:
    """A task's scheduler on one optimizer. A task without one has a schedule that does nothing.

    Raises:
        TaskError: for what is no scheduler, one that follows the metric the wrong way, or data of unknown length.
    """

    def __init__(self, task: Task, optimizer: torch.optim.Optimizer, epochs: int) -> None:
        self.scheduler: LRScheduler | None = None
        if task.schedule is None:
            return
        by_step = task.schedule_every == "step"
        count = total_steps(task, epochs) if by_step else evaluations(task, epochs)
        if count is None:
            raise TaskError("schedule: train is a DataLoader that cannot tell its length; give the task steps=")
        self.scheduler = check_schedule(task, task.schedule(optimizer, count))
        self.on_plateau = isinstance(self.scheduler, ReduceLROnPlateau)
        self.by_step = by_step and not self.on_plateau

    def after_step(self) -> None:
        """To be called after each gradient step."""
        if self.scheduler is not None and self.by_step:
            self.scheduler.step()

    def after_epoch(self, metric: float) -> None:
        """To be called after each evaluation; ReduceLROnPlateau follows the validation metric."""
        if self.scheduler is None or self.by_step:
            return
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step(metric)
        else:
            self.scheduler.step()


def check_schedule(task: Task, scheduler: object) -> LRScheduler:
    """The scheduler, if it is one and fits the task."""
    if not isinstance(scheduler, LRScheduler):
        raise TaskError(
            f"schedule: returned {type(scheduler).__name__}; must return one of torch.optim.lr_scheduler's schedulers"
        )
    wanted = "max" if task.larger_is_better else "min"
    if isinstance(scheduler, ReduceLROnPlateau) and scheduler.mode != wanted:
        raise TaskError(
            f"schedule: ReduceLROnPlateau has mode={scheduler.mode!r}; must be {wanted!r}, "
            f"as it follows the validation {task.metric_name}"
        )
    return scheduler
