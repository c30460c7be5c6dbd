"""One lane: a training that shares its forward pass, and nothing else, with its neighbours."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import torch

from thalweg.lab.runners.lanes.refusal import optimizer_refusal
from thalweg.lab.runners.lanes.stack import Weights
from thalweg.lab.task.length import evaluations
from thalweg.lab.task.schedule import Schedule
from thalweg.lab.task.task import Task
from thalweg.lab.training.decay import settings_of
from thalweg.lab.training.divergence import Diverged, DivergenceMonitor, check_end
from thalweg.lab.training.early_stopping import EarlyStopping
from thalweg.lab.training.failure import TIMED_OUT, failure
from thalweg.lab.training.job import Job
from thalweg.lab.training.loop import Outcome, switch
from thalweg.lab.training.time_limit import late
from thalweg.lab.training.trial import Curve, Trial


@dataclass(eq=False)
class Lane:
    """What `training.train` holds in local names. Once it has a status it has ended."""

    task: Task
    job: Job
    optimizer: torch.optim.Optimizer | None = None
    schedule: Schedule | None = None
    watch: DivergenceMonitor = field(default_factory=DivergenceMonitor)
    curve: Curve = field(default_factory=Curve)
    losses: list[float] = field(default_factory=list)  # of this epoch
    best: Weights | None = None  # of the epoch that counts, for finalists with patience
    outcome: Outcome = field(default_factory=Outcome)
    seconds: float = 0.0
    started: float = field(default_factory=time.time)
    status: str = ""
    message: str | None = None

    def __post_init__(self) -> None:
        self.patience = EarlyStopping(self.task.patience, self.task.larger_is_better)

    def build(self, params: list[torch.nn.Parameter]) -> None:
        """Make the optimizer and the schedule; what the setting under trial is refused for is a crash."""
        job = self.job
        try:
            self.optimizer = job.entry.build(params, **settings_of(self.task, job.entry, job.setting))
            self.schedule = Schedule(self.task, self.optimizer, job.epochs)
            self.switch("train")
        except Exception as error:
            self.crash(error)

    def leave_if_alone(self) -> str | None:
        """Why this lane's optimizer cannot ride; None where it can. One that cannot leaves at once."""
        reason = None if self.optimizer is None else optimizer_refusal(self.optimizer)
        self.status = self.status or ("alone" if reason else "")
        return reason

    @property
    def seed(self) -> int:
        return self.job.setting.seed

    @property
    def done(self) -> bool:
        return self.status == "done"

    @property
    def final(self) -> bool:
        return self.job.phase == "final"

    def switch(self, mode: str) -> None:
        assert self.optimizer is not None
        switch(self.optimizer, mode)

    def see(self, loss: float) -> None:
        """Take in a step's loss, after the step, as a lone run does."""
        self.losses.append(loss)
        try:
            self.watch.see(loss)
            assert self.schedule is not None
            self.schedule.after_step()
        except Diverged as reason:
            self.diverge(reason)
        except Exception as error:
            self.crash(error)

    def close_epoch(self, steps: int, loss: float, metric: float) -> bool:
        """Take in an epoch's end; whether its weights are the best so far."""
        self.curve.add(steps, self.losses, loss, metric)
        self.losses = []
        return self.patience.see(metric)

    def after_epoch(self) -> None:
        try:
            assert self.schedule is not None
            self.schedule.after_epoch(self.curve.validation_metric[-1])
        except Exception as error:
            self.crash(error)

    def finish(self) -> None:
        """The training is over: done, if the values that count are finite."""
        counts = -1 if self.patience.best is None else self.patience.best
        curve = self.curve
        try:
            check_end(curve.validation_loss[counts], curve.validation_metric[counts], self.task.metric_name)
        except Diverged as reason:
            self.diverge(reason)
            return
        stopped = self.patience.over and len(curve.steps) < evaluations(self.task, self.job.epochs)
        self.outcome = Outcome(best=self.patience.best, stopped=stopped)
        self.status = "done"

    def diverge(self, reason: Diverged) -> None:
        self.status, self.message = "diverged", str(reason)

    def crash(self, error: Exception) -> None:
        self.status, self.message = failure(error)

    def look_at_the_clock(self) -> None:
        """Its share of the time counts, as if it had been alone."""
        limit = self.job.limit
        if limit is not None and self.seconds > limit and not self.status:
            self.status, self.message = TIMED_OUT, late(limit)

    def trial(self) -> Trial:
        """The lane as it is written down."""
        setting = self.job.setting
        return Trial(
            id=self.job.id,
            phase=self.job.phase,
            index=self.job.index,
            optimizer=setting.optimizer,
            settings=dict(setting.settings),
            seed=setting.seed,
            status=self.status,
            message=self.message,
            steps=self.curve.steps[-1] if self.curve.steps else 0,
            curve=self.curve,
            test_loss=self.outcome.test_loss,
            test_metric=self.outcome.test_metric,
            seconds=round(self.seconds, 4),
            started=round(self.started, 3),
            batch_size=setting.batch_size,
            best=self.outcome.best,
            stopped=self.outcome.stopped,
        )
