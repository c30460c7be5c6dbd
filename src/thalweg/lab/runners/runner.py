"""What a runner is: it trains jobs of one task, and gives each trial as it ends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

from thalweg.lab.job import Job
from thalweg.lab.task import Task
from thalweg.lab.trial import Trial


class Runner(ABC):
    """One way to train jobs. Which one is taken changes how long a study takes, not what it finds."""

    name: str

    @abstractmethod
    def run(self, task: Task, jobs: Sequence[Job]) -> Iterator[Trial]:
        """The trial of each job, in any order, each as soon as it ends.

        What goes wrong in a trial is written in it; an exception means that the runner itself cannot go on.
        Closing the iterator early leaves nothing running.
        """
