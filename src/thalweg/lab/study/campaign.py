"""A campaign: the jobs of one study, run or found, round by round, whatever verb plans them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.lab.own_loop.broken_off import broken_off
from thalweg.lab.runners import Runner
from thalweg.lab.study.command import if_a_run_ended_it
from thalweg.lab.study.deadline import Deadline, OutOfTime
from thalweg.lab.study.printed import log_prints
from thalweg.lab.study.store import Study
from thalweg.lab.task.own_loop import OwnLoop
from thalweg.lab.task.task import Task
from thalweg.lab.training.job import Job, fewer_steps
from thalweg.lab.training.trial import Configuration, Status, Trial, at_values

if TYPE_CHECKING:
    from thalweg.catalogue import Entry
    from thalweg.lab.own_loop.pruning import Pruning

RETRIES = 2  # of a run that was interrupted from outside
RUNS = "runs"  # the folders of the runs of a loop of one's own, in the study's


@dataclass(frozen=True)
class Progress:
    """Where a study stands. `trial` just ended; None at the start, where seconds_left is the price, and with `said`."""

    done: int
    total: int
    found: int  # of those done, how many were there before
    trial: Trial | None = None
    seconds_left: float | None = None
    folder: Path = field(default_factory=Path)
    how: str = ""  # which runner trains them
    within: float = 0.0  # how far off seconds_left may be, as far as the runs so far tell
    priced: bool = True  # whether a price was known before the first run
    budget: float | None = None  # seconds that the study may take
    needed: float | None = None  # seconds that the runs take, whatever the budget leaves of them
    before: float = 0.0  # seconds of the budget that had gone by when the first run was to begin
    said: str = ""  # what whoever watches should know, such as a run that is tried again


class Campaign:
    """Runs the jobs the study does not have yet, writes each trial down, and tells how far it is.

    Args:
        total: how many trials the whole study will have, as far as can be told.
        how: the choice of the runner in words, for who watches.
        price: seconds that what is missing will take, as measured before; None if unknown.
        limit: seconds that one run may take.
        retries: how often a run that was interrupted from outside is tried again.
        deadline: when the study must end; none if None.
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
        retries: int = RETRIES,
        deadline: Deadline | None = None,
    ) -> None:
        self.task, self.epochs, self.study, self.runner = task, epochs, study, runner
        self.total, self.progress, self.how, self.price = total, progress, how, price
        self.limit, self.retries, self.deadline = limit, retries, deadline or Deadline()
        self.identity = study.spec["task"]["identity"]
        self.asked: dict[str, Trial] = {}  # the trials of this plan so far
        self.found = len(study.trials)
        self.trained, self.spent, self.squares = 0, 0.0, 0.0
        if study.versions.get("planned") != total:
            study.keep("planned", total)  # for `status`
        if self.deadline.at is not None or study.versions.get("ends_by") is not None:
            study.keep("ends_by", None if self.deadline.at is None else time.time() + self.deadline.left())
        self.deadline.ready()
        self._tell(None)
        if self.runner.name == "alone" and (run := broken_off(study.folder / RUNS, study.trials)):
            self.say(if_a_run_ended_it(study.folder, run))

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
        pruning: Pruning | None = None,
    ) -> Job:
        """One run of `entry` with `settings`; `epochs` where they are not the study's."""
        setting = Configuration(entry.name, dict(settings), seed, batch_size)
        kind = {"class": entry.optimizer.__qualname__, **entry.settings}
        epochs = epochs or self.epochs
        steps = fewer_steps(self.task.steps, epochs, self.epochs)
        length = f"{epochs} epochs" if steps is None else f"{epochs} epochs, {steps} steps"
        identity = setting.identity(f"{self.identity}, {length}, {kind}")
        folder = until = None
        if isinstance(self.task, OwnLoop):  # a run that is to be longer goes on in the folder of the shorter one
            until = epochs if epochs < self.epochs else None
            folder = str((self.study.folder / RUNS / setting.identity(f"{self.identity}, {kind}")).resolve())
        return Job(identity, phase, index, entry, setting, epochs, steps, self.limit, folder, until, pruning)

    def run(self, jobs: Sequence[Job], reserve: int = 0, least: int = 1) -> list[Trial]:
        """The trials of these jobs, in their order; what the study has is not run again.

        Where the deadline comes first, those that have ended by then, in the order in which they were asked for.

        Args:
            reserve: how many runs are to come after these, for which time is to be left.
            least: how many make a first part: fewer would say nothing.
        """
        waiting = self.waiting(jobs)
        self._grow(waiting)
        least = max(self.runner.workers, least)
        while waiting:
            count = self.deadline.next_part(len(waiting), least, reserve)
            if not count or self.deadline.passed:
                self.deadline.passed = True
                break
            part, waiting = waiting[:count], waiting[count:]
            self._run_part(part, reserve)
            least = max(self.runner.workers, 1)
        reasons = dict.fromkeys([*self.study.versions.get("not_in_lanes", []), *self.runner.reasons])
        if list(reasons) != self.study.versions.get("not_in_lanes", []):
            self.study.keep("not_in_lanes", list(reasons))
        self.study.sync()
        trials = [self.study.trials[job.id] for job in jobs if job.id in self.study.trials]
        self.asked.update((trial.id, trial) for trial in trials)
        return trials

    def waiting(self, jobs: Sequence[Job]) -> list[Job]:
        """Those of these that the study has no trial of."""
        return [job for job in {job.id: job for job in jobs}.values() if not self._has(job)]

    def _grow(self, waiting: Sequence[Job]) -> None:
        """A study that was extended has runs of its earlier finalists, beside what the plan counts."""
        known = len(self.study.trials.keys() | {job.id for job in waiting})
        if known > self.total:
            self.total = known
            self.study.keep("planned", known)

    def _run_part(self, jobs: Sequence[Job], reserve: int) -> None:
        """Run these; what was interrupted from outside once more, a few times."""
        missing = {job.id: job for job in jobs}
        left = dict.fromkeys(missing, self.retries)
        while missing and not self.deadline.passed:
            again: dict[str, Job] = {}
            before, clock = self.trained, time.monotonic()
            ended = log_prints(iter(self.runner.run(self.task, list(missing.values()))), self.study.folder)
            try:
                while True:
                    with self.deadline.enforce(reserve):
                        trial = next(ended, None)
                    if trial is None:
                        break
                    if trial.status is Status.INTERRUPTED and left[trial.id]:
                        left[trial.id] -= 1
                        again[trial.id] = missing[trial.id]
                        self.say(f"tried again: {_named(trial)}: {'; '.join((trial.message or '').splitlines())}")
                    else:
                        self._take(trial)
            except OutOfTime:
                self.deadline.passed = True
            finally:  # an error or Ctrl-C, perhaps: nothing goes on training, and what ended meanwhile is written too
                ended.close()
                for trial in self.runner.unclaimed():
                    self._take(trial)
            self.deadline.see(self.trained - before, time.monotonic() - clock)
            missing = again

    def searched(self, optimizer: str) -> list[Trial]:
        """The search's trials of one optimizer so far."""
        return [trial for trial in self.asked.values() if trial.optimizer == optimizer and trial.phase == "search"]

    def _spread(self) -> float:
        """The standard error of what a run takes on average, times the root of how many there were."""
        mean = self.spent / self.trained
        variance = max(0.0, self.squares / self.trained - mean**2)
        return math.sqrt(variance / self.trained)

    def _has(self, job: Job) -> bool:
        """Whether the study has the job's trial; what was interrupted from outside is tried anew."""
        trial = self.study.trials.get(job.id)
        return trial is not None and trial.status is not Status.INTERRUPTED

    def say(self, text: str) -> None:
        """Tell whoever watches."""
        if self.progress is not None:
            self.progress(replace(self.now, said=text, trial=None))  # no trial has ended

    def _take(self, trial: Trial) -> None:
        self.study.add(trial)
        self.trained += 1
        self.spent += trial.seconds
        self.squares += trial.seconds**2
        self._tell(trial)

    def _tell(self, trial: Trial | None) -> None:
        done = len(self.study.trials)
        left, within = self.price, 0.0
        if self.trained:
            # By what each took, not by the clock: where many train side by side they end in bursts.
            pace, missing = self.spent / self.trained / self.runner.workers, max(0, self.total - done)
            left, within = pace * missing, self._spread() / self.runner.workers * missing
        needed = left
        if left is not None:
            left = min(left, max(0.0, self.deadline.left()))
        self.now = Progress(
            done, self.total, self.found, trial, left, self.study.folder, self.how, within=within,
            priced=self.price is not None, budget=self.deadline.budget, needed=needed, before=self.deadline.before,
        )  # fmt: skip
        if self.progress is not None:
            self.progress(self.now)


def _named(trial: Trial) -> str:
    """A run in a few words: `adam at lr 0.01, seed 2`."""
    return f"{trial.optimizer}{at_values(trial.settings)}, seed {trial.seed}"
