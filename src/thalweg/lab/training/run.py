"""One run from its start to its end, whoever drives it: alone step by step, or many side by side."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from thalweg.lab.task.length import evaluations
from thalweg.lab.task.schedule import Schedule
from thalweg.lab.training.decay import settings_of
from thalweg.lab.training.divergence import DivergenceMonitor, check_end
from thalweg.lab.training.early_stopping import EarlyStopping
from thalweg.lab.training.failure import failure
from thalweg.lab.training.groups import parameters_of
from thalweg.lab.training.time_limit import late
from thalweg.lab.training.trial import Curve, Outcome, Status, Trial

if TYPE_CHECKING:
    from thalweg.lab.task.task import Task
    from thalweg.lab.training.job import Job


@dataclass(eq=False)
class Run:
    """A job under way. It has ended once it has a status; `attempt` gives it the one that fits what was raised.

    A driver calls `start`, then `see` after each step, `close_epoch` and `after_epoch` at each evaluation, `finish` at
    the end, and asks for the `trial`.
    """

    task: Task  # as the job adapts it
    job: Job
    optimizer: torch.optim.Optimizer | None = None
    schedule: Schedule | None = None
    monitor: DivergenceMonitor = field(init=False)
    curve: Curve = field(default_factory=Curve)
    losses: list[float] = field(default_factory=list)  # of this epoch
    best: Any = None  # the weights of the epoch that counts, for finalists that may stop early
    outcome: Outcome = field(default_factory=Outcome)
    seconds: float = 0.0
    started: float = field(default_factory=time.time)
    status: Status | None = None
    message: str | None = None

    def __post_init__(self) -> None:
        self.monitor = DivergenceMonitor(self.task.divergence)
        self.stopping = EarlyStopping(self.task.patience, self.task.larger_is_better)

    @property
    def seed(self) -> int:
        return self.job.setting.seed

    @property
    def final(self) -> bool:
        return self.job.phase == "final"

    def attempt(self, action: Callable[..., Any], *given: Any) -> Any:
        """Call; what is raised ends the run, and nothing else: a user's model may raise anything.

        TimedOut goes on: whose time is over is known to who set the limit, for one run or for many at once.
        """
        try:
            return action(*given)
        except (Exception, SystemExit) as error:
            self.fail(error)

    def fail(self, error: BaseException) -> None:
        """End the run with the status that fits what was raised."""
        self.status, self.message = failure(error)
        self.outcome = Outcome()

    def start(self, model: nn.Module) -> None:
        """Make the optimizer and the schedule."""
        job = self.job
        settings = settings_of(self.task, job.entry, job.setting)
        given = parameters_of(self.task, model, job.entry, settings.get("lr"))
        self.optimizer = job.entry.build(given, **settings)
        self.schedule = Schedule(self.task, self.optimizer, job.epochs)
        self.switch("train")

    def switch(self, mode: str) -> None:
        """Some optimizers (Schedule-Free) have modes, as models have: while training, parameters are not the result."""
        getattr(self.optimizer, mode, lambda: None)()

    def see(self, loss: float) -> None:
        """Take in a step's loss, after the step.

        Raises:
            Diverged: with the reason in words.
        """
        self.losses.append(loss)
        self.monitor.see(loss)
        assert self.schedule is not None
        self.schedule.after_step()

    def close_epoch(self, steps: int, loss: float, metric: float) -> bool:
        """Take in an evaluation; whether its weights are to be kept as the best so far."""
        self.curve.add(steps, self.losses, loss, metric)
        self.losses = []
        return self.stopping.see(metric) and self.final

    def after_epoch(self) -> None:
        """The schedule's step after an evaluation."""
        assert self.schedule is not None
        self.schedule.after_epoch(self.curve.validation_metric[-1])

    def finish(self) -> None:
        """The run is over: done, if the values that count are finite.

        Raises:
            Diverged, NotANumber: if one is not.
        """
        counts = -1 if self.stopping.best is None else self.stopping.best
        curve = self.curve
        check_end(curve.validation_loss[counts], curve.validation_metric[counts], self.task.metric_name)
        stopped = self.stopping.over and len(curve.steps) < evaluations(self.task, self.job.epochs)
        self.outcome, self.status = Outcome(best=self.stopping.best, stopped=stopped), Status.DONE

    def see_test(self, loss: float, metric: float) -> None:
        """Take in what the test set says of a finalist."""
        self.outcome = replace(self.outcome, test_loss=loss, test_metric=metric)

    def look_at_the_clock(self) -> None:
        """For runs side by side: its share of the time counts, as if it had been alone."""
        limit = self.job.limit
        if limit is not None and self.seconds > limit and self.status is None:
            self.status, self.message = Status.TIMED_OUT, late(limit)

    def trial(self) -> Trial:
        """The run as it is written down."""
        assert self.status is not None
        return Trial.of(self.job, self.status, self.message, self.curve, self.outcome, self.seconds, self.started)
