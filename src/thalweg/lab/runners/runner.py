"""What a runner is: it trains jobs of one task, and gives each trial as it ends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from thalweg.lab.training.job import Job
from thalweg.lab.training.trial import Trial

if TYPE_CHECKING:
    from typing_extensions import Self

    from thalweg.lab.task.task import Task


class Runner(ABC):
    """One way to train jobs. Which one is taken changes how long a study takes, not what it finds.

    As a context manager it ends, on leaving, what it keeps running between calls of `run`.
    """

    name: str
    workers: int = 1  # how many runs go on at the same time, each with its own clock
    reasons: Sequence[str] = ()  # why some could not be run as this runner runs them

    @abstractmethod
    def run(self, task: Task, jobs: Sequence[Job]) -> Iterator[Trial]:
        """The trial of each job, in any order, each as soon as it ends.

        What goes wrong in a trial is written in it; an exception means that the runner itself cannot go on.
        Closing the iterator early leaves nothing training.
        """

    def unclaimed(self) -> list[Trial]:
        """After `run` was broken off: trials that had ended and that it did not give yet. Each is given once."""
        return []

    def close(self) -> None:  # noqa: B027 - most runners keep nothing running
        """End whatever still runs. The runner starts it anew when it is used again."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
