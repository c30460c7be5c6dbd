"""Many trainings of one model side by side, as one stacked model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from thalweg.lab.job import Job
from thalweg.lab.lanes.cohort import Cohort
from thalweg.lab.lanes.refusal import in_words, model_refusal, optimizer_refusal
from thalweg.lab.runners.runner import Runner
from thalweg.lab.seeds import random_state_kept
from thalweg.lab.task import Task
from thalweg.lab.trial import Trial, run_trial

MOST = 128


class Lanes(Runner):
    """Jobs in groups of at most `lanes`, each group one stacked model; what cannot ride goes one at a time.

    `reasons` says in plain words why something did.
    """

    name = "lanes"

    def __init__(self, lanes: int = MOST) -> None:
        self.lanes = lanes
        self.reasons: list[str] = []

    def run(self, task: Task, jobs: Sequence[Job]) -> Iterator[Trial]:
        for group in _alike(jobs):
            place = 0
            while place < len(group):
                size = self.lanes
                part = group[place : place + size]
                yield from self._together(task, part)
                place += size

    def _together(self, task: Task, jobs: Sequence[Job]) -> Iterator[Trial]:
        """The trials of one group, however they come about."""
        missing = {job.id: job for job in jobs}
        try:
            for trial in _riding(task, [*missing.values()]):
                del missing[trial.id]
                yield trial
        except Exception as error:
            if _out_of_memory(error) and len(missing) > 1:
                self.lanes = max(1, len(missing) // 2)
                self._tell(f"out of memory with {len(jobs)} lanes: {self.lanes} from here on")
                yield from self.run(task, [*missing.values()])
                return
            self._tell(in_words(error))
            for job in missing.values():
                yield run_trial(task, job)

    def _tell(self, reason: str) -> None:
        if reason not in self.reasons:
            self.reasons.append(reason)


def _riding(task: Task, jobs: Sequence[Job]) -> Iterator[Trial]:
    """The cohort's trials; between two of them the caller's random state is as it was."""
    with random_state_kept(task.device):
        cohort = Cohort(task, jobs)
        for trial in cohort.run():
            yield trial


def _alike(jobs: Sequence[Job]) -> list[list[Job]]:
    """Jobs that can share a forward pass, in their order."""
    groups: dict[object, list[Job]] = {}
    for job in jobs:
        groups.setdefault((job.epochs, job.setting.batch_size), []).append(job)
    return list(groups.values())


def _out_of_memory(error: Exception) -> bool:
    text = str(error)
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)
    )
