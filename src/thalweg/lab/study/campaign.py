"""A campaign: the jobs of one study, run or found, round by round, whatever verb plans them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.lab.runners import Runner
from thalweg.lab.study.printed import log_prints
from thalweg.lab.study.store import Study
from thalweg.lab.task.task import Task
from thalweg.lab.training.job import Job, fewer_steps
from thalweg.lab.training.trial import Configuration, Trial

if TYPE_CHECKING:
    from thalweg.catalogue import Entry


@dataclass(frozen=True)
class Progress:
    """Where a study stands. `trial` just ended, None at the start, where seconds_left is the price."""

    done: int
    total: int
    found: int  # of those done, how many were there before
    trial: Trial | None = None
    seconds_left: float | None = None
    folder: Path = field(default_factory=Path)
    how: str = ""  # which runner trains them


class Campaign:
    """Runs the jobs the study does not have yet, writes each trial down, and tells how far it is.

    Args:
        total: how many trials the whole study will have, as far as can be told.
        how: the choice of the runner in words, for who watches.
        price: seconds that what is missing will take, as measured before; None if unknown.
        limit: seconds that one run may take.
    """

    def __init__(
        self,
        task: Task,
        epochs: int,
        study: Study,
        runner: Runner,
        total: int,
        progress: Callable[[Progress], None] | None = None,
        how: str = "",
        price: float | None = None,
        limit: float | None = None,
    ) -> None:
        self.task, self.epochs, self.study, self.runner = task, epochs, study, runner
        self.total, self.progress, self.how, self.price = total, progress, how, price
        self.limit = limit
        self.identity = study.spec["task"]["identity"]
        self.asked: dict[str, Trial] = {}  # the trials of this plan so far
        self.found = len(study.trials)
        self.trained, self.spent = 0, 0.0
        self._tell(None)

    def job(
        self,
        entry: Entry,
        settings: Mapping[str, Any],
        seed: int,
        *,
        phase: str = "search",
        index: int = 0,
        batch_size: int | None = None,
        epochs: int | None = None,
    ) -> Job:
        """One run of `entry` with `settings`; `epochs` where they are not the study's."""
        setting = Configuration(entry.name, dict(settings), seed, batch_size)
        kind = {"class": entry.optimizer.__qualname__, **entry.settings}
        epochs = epochs or self.epochs
        steps = fewer_steps(self.task.steps, epochs, self.epochs)
        length = f"{epochs} epochs" if steps is None else f"{epochs} epochs, {steps} steps"
        identity = setting.identity(f"{self.identity}, {length}, {kind}")
        return Job(identity, phase, index, entry, setting, epochs, steps, self.limit)

    def run(self, jobs: Sequence[Job]) -> list[Trial]:
        """The trials of these jobs, in their order; what the study has is not run again."""
        missing = {job.id: job for job in jobs if job.id not in self.study.trials}
        ended = self.runner.run(self.task, list(missing.values()))
        try:
            for trial in log_prints(iter(ended), self.study.folder):
                self._take(trial)
        finally:  # an error or Ctrl-C, perhaps: nothing goes on training, and what ended meanwhile is written too
            getattr(ended, "close", lambda: None)()
            for trial in self.runner.unclaimed():
                self._take(trial)
        reasons = dict.fromkeys([*self.study.versions.get("not_in_lanes", []), *self.runner.reasons])
        if list(reasons) != self.study.versions.get("not_in_lanes", []):
            self.study.keep("not_in_lanes", list(reasons))
        self.study.sync()
        trials = [self.study.trials[job.id] for job in jobs]
        self.asked.update((trial.id, trial) for trial in trials)
        return trials

    def searched(self, optimizer: str) -> list[Trial]:
        """The search's trials of one optimizer so far."""
        return [trial for trial in self.asked.values() if trial.optimizer == optimizer and trial.phase == "search"]

    def _take(self, trial: Trial) -> None:
        self.study.add(trial)
        self.trained += 1
        self.spent += trial.seconds
        self._tell(trial)

    def _tell(self, trial: Trial | None) -> None:
        if self.progress is None:
            return
        done = self.found + self.trained
        # By what each took, not by the clock: where many train side by side they end in bursts.
        pace = self.spent / self.trained / self.runner.workers if self.trained else None
        left = self.price if pace is None else max(0.0, pace * (self.total - done))
        self.progress(Progress(done, self.total, self.found, trial, left, self.study.folder, self.how))
