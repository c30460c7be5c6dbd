"""Many runs of one model side by side, as one stacked model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from thalweg.lab.isolation import adopt, surroundings
from thalweg.lab.random.seeds import preserving_random_state
from thalweg.lab.runners.lanes.probe import MOST
from thalweg.lab.runners.lanes.refusal import in_words
from thalweg.lab.runners.lanes.stacked_runs import StackedRuns
from thalweg.lab.runners.runner import Runner
from thalweg.lab.task.task import Task
from thalweg.lab.training.failure import out_of_memory
from thalweg.lab.training.job import Job
from thalweg.lab.training.loop import run_trial
from thalweg.lab.training.time_limit import TimedOut, time_limit
from thalweg.lab.training.trial import Trial

LEAST = 2  # runs: two gain 1.3 x on `digits-cnn`, and lose nothing on `digits`


class Lanes(Runner):
    """Jobs in groups of at most `lanes`, each group one stacked model; what cannot ride goes one at a time.

    `reasons` says in plain words why something did. Groups of fewer than `least` are not worth stacking.
    """

    name = "lanes"

    def __init__(self, lanes: int = MOST, least: int = LEAST) -> None:
        self.lanes, self.least = lanes, least
        self.reasons: list[str] = []
        self.unfit: Task | None = None  # was found unable to ride

    def run(self, task: Task, jobs: Sequence[Job]) -> Iterator[Trial]:
        for group in _alike(jobs):
            waiting = list(group)
            while waiting:
                size = -(-len(waiting) // -(-len(waiting) // self.lanes))  # parts of one size: no few are left over
                part, waiting = waiting[:size], waiting[size:]
                missing = {job.id: job for job in part}
                for trial in self._side_by_side(task, missing):
                    del missing[trial.id]
                    yield trial
                waiting = [*missing.values(), *waiting]

    def _side_by_side(self, task: Task, jobs: dict[str, Job]) -> Iterator[Trial]:
        """The trials of one group, however they come about. What it gives no trial of is to be tried with fewer."""
        riding = list(jobs.values())
        if len(riding) >= self.least and task is not self.unfit:
            try:
                limit = riding[0].limit
                yield from _preserving(task, self._ride(task, riding), limit and limit * len(riding))
            except TimedOut:
                self._tell("side by side they took longer than their time limits together")
            except Exception as error:
                if out_of_memory(error) and len(riding) > 1:
                    self.lanes = max(1, len(riding) // 2)
                    self._tell(f"{len(riding)} lanes need more memory than there is: {self.lanes} from here on")
                    return
                self._tell(in_words(error))
                self.unfit = task
        for job in list(jobs.values()):
            yield run_trial(task, job)

    def _ride(self, task: Task, riding: Sequence[Job]) -> Iterator[Trial]:
        stacked = StackedRuns(task, riding)
        yield from stacked.run()
        for reason in dict.fromkeys(stacked.alone.values()):
            self._tell(reason)

    def _tell(self, reason: str) -> None:
        if reason not in self.reasons:
            self.reasons.append(reason)


def _preserving(task: Task, trials: Iterator[Trial], limit: float | None) -> Iterator[Trial]:
    """The trials; whenever the caller has the word, the random state and the surroundings are its own."""
    inside = None  # what the task's code has set, for the next turn
    while True:
        outside = surroundings()
        try:
            with preserving_random_state(task.device), time_limit(limit):
                adopt(inside or outside)
                trial = next(trials, None)
                inside = surroundings()
        finally:
            adopt(outside)
        if trial is None:
            return
        yield trial


def _alike(jobs: Sequence[Job]) -> list[list[Job]]:
    """Jobs that can share a forward pass, in their order."""
    groups: dict[object, list[Job]] = {}
    for job in jobs:
        groups.setdefault((job.epochs, job.setting.batch_size), []).append(job)
    return list(groups.values())
