"""One trial: one optimizer, one configuration, one seed, trained from start to end and written down."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from thalweg.lab.passwords import without_passwords

if TYPE_CHECKING:
    from thalweg.lab.training.job import Job


@dataclass(frozen=True)
class Configuration:
    """What identifies a trial, with the task: an optimizer, its settings and a seed; a batch size where it is tuned."""

    optimizer: str
    settings: Mapping[str, Any]
    seed: int
    batch_size: int | None = None

    def identity(self, task: str) -> str:
        """The trial's name in a study: a hash of (task, optimizer and settings, seed)."""
        parts = [task, self.optimizer, dict(self.settings), self.seed]
        if self.batch_size is not None:
            parts.append(self.batch_size)
        text = json.dumps(parts, sort_keys=True, default=repr)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def at_values(settings: Mapping[str, Any]) -> str:
    """` at lr 0.01, width 32`, to stand behind an optimizer's name; empty without settings."""
    values = (f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
              for name, value in settings.items())  # fmt: skip
    return f" at {', '.join(values)}" if settings else ""


@dataclass(frozen=True)
class Curve:
    """A trial at the end of each epoch."""

    steps: list[int] = field(default_factory=list)
    train_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_metric: list[float] = field(default_factory=list)

    def add(self, steps: int, losses: list[float], validation_loss: float, validation_metric: float) -> None:
        """An epoch's end: the steps so far, and the losses of the epoch's steps, of which the mean is kept."""
        self.steps.append(steps)
        self.train_loss.append(sum(losses) / max(1, len(losses)))
        self.validation_loss.append(validation_loss)
        self.validation_metric.append(validation_metric)


@dataclass(frozen=True)
class Outcome:
    """What a run ends with, beside its curve."""

    test_loss: float | None = None
    test_metric: float | None = None
    best: int | None = None  # with early stopping: the epoch that counts, from 0; None: the last
    stopped: bool = False  # by early stopping, before all its epochs


class Status(str, Enum):
    """How a run ended, as a study has it."""

    DONE = "done"
    DIVERGED = "diverged"
    CRASHED = "crashed"
    OUT_OF_MEMORY = "out of memory"
    TIMED_OUT = "timed out"
    NOT_A_NUMBER = "no number"  # the metric is NaN, where nothing diverged
    INTERRUPTED = "interrupted"  # from outside: a full disk, a lost connection. No configuration is to blame

    def __str__(self) -> str:
        return str(self.value)

    def __format__(self, spec: str) -> str:
        return format(self.value, spec)

    @property
    def in_words(self) -> str:
        """What became of a run, in a sentence."""
        return {
            Status.OUT_OF_MEMORY: "ran out of memory",
            Status.TIMED_OUT: "ran out of time",
            Status.NOT_A_NUMBER: "gave no number",
            Status.INTERRUPTED: "was interrupted",
        }.get(self, self.value)


@dataclass(frozen=True)
class Trial:
    """A finished trial; a final value of what failed is NaN."""

    id: str
    phase: str  # "search" or "final"
    index: int  # the setting's place in its optimizer's list of trials, 0 is the default setting
    optimizer: str
    settings: dict[str, Any]
    seed: int
    status: Status
    message: str | None
    steps: int
    curve: Curve
    test_loss: float | None
    test_metric: float | None
    seconds: float
    started: float
    batch_size: int | None = None  # where it is not the task's own
    best: int | None = None  # with early stopping: the epoch that counts, from 0; None: the last
    stopped: bool = False  # by early stopping, before all its epochs

    def __post_init__(self) -> None:
        object.__setattr__(self, "status", Status(self.status))  # a text, where it comes from JSON

    @classmethod
    def of(
        cls,
        job: Job,
        status: Status,
        message: str | None,
        curve: Curve,
        outcome: Outcome,
        seconds: float,
        started: float,
    ) -> Trial:
        """The trial of a job that has ended, however it did."""
        return cls(
            id=job.id,
            phase=job.phase,
            index=job.index,
            optimizer=job.setting.optimizer,
            settings=dict(job.setting.settings),
            seed=job.setting.seed,
            status=status,
            message=None if message is None else without_passwords(message),
            steps=curve.steps[-1] if curve.steps else 0,
            curve=curve,
            test_loss=outcome.test_loss,
            test_metric=outcome.test_metric,
            seconds=round(seconds, 4),
            started=round(started, 3),
            batch_size=job.setting.batch_size,
            best=outcome.best,
            stopped=outcome.stopped,
        )

    @property
    def done(self) -> bool:
        return self.status is Status.DONE

    @property
    def failed(self) -> bool:
        """Whether the configuration failed: not where the run was interrupted from outside."""
        return self.status not in (Status.DONE, Status.INTERRUPTED)

    @property
    def metric(self) -> float:
        """The validation metric at the end of the schedule; with early stopping that of the best epoch."""
        return self.curve.validation_metric[self._counts] if self.done else math.nan

    @property
    def loss(self) -> float:
        """The validation loss of the same epoch."""
        return self.curve.validation_loss[self._counts] if self.done else math.nan

    @property
    def _counts(self) -> int:
        return -1 if self.best is None else self.best

    def steps_to(self, target: float, larger_is_better: bool) -> float:
        """Steps until the validation metric first reached the target at an epoch's end; inf for a miss."""
        for steps, value in zip(self.curve.steps, self.curve.validation_metric, strict=True):
            if self.done and (value >= target if larger_is_better else value <= target):
                return float(steps)
        return math.inf
