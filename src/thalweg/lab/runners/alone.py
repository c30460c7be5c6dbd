"""One trial at a time, in this process: the definition of right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from thalweg.lab.own_loop.trial import trial_of
from thalweg.lab.runners.runner import Runner
from thalweg.lab.task.task import Task
from thalweg.lab.training.job import Job
from thalweg.lab.training.trial import Trial


class Alone(Runner):
    """Each job by itself."""

    name = "alone"

    def run(self, task: Task, jobs: Sequence[Job]) -> Iterator[Trial]:
        for job in jobs:
            yield trial_of(task, job)
