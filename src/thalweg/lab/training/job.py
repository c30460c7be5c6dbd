"""A job: one trial that is asked for. A runner turns jobs into trials."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from thalweg.lab.training.trial import Configuration

if TYPE_CHECKING:
    from thalweg.catalogue import Entry
    from thalweg.lab.own_loop.pruning import Pruning
    from thalweg.lab.task.task import Task


@dataclass(frozen=True)
class Job:
    """All that a trial's numbers depend on beside the task, and its place in the study.

    `id` is `setting.identity(...)`; `phase` is "search" or "final" (only finals read the test set); `index` is the
    setting's place in its optimizer's list, 0 is the default setting. `steps` is for a shorter training of a task that
    is given in steps. `limit` changes no number of a run that keeps it. `folder` and `pruning` are for a training loop
    of the user's own, as is `until`, the step at which such a run is looked at by the study, and ends.
    """

    id: str
    phase: str
    index: int
    entry: Entry
    setting: Configuration
    epochs: int
    steps: int | None = None
    limit: float | None = None  # seconds it may take
    folder: str | None = None  # where it keeps its checkpoint and its log; the same when it is begun again
    until: int | None = None
    pruning: Pruning | None = None  # what it is measured by while it trains

    def adapt(self, task: Task) -> Task:
        """The task as this training has it."""
        size = self.setting.batch_size
        own = task if size is None else replace(task, batch_size=size)
        own = own if own.folds is None else own.with_fold(self.setting.seed % own.folds)
        return own if self.steps is None else own.with_steps(self.steps)


def fewer_steps(steps: int | None, epochs: int, whole: int) -> int | None:
    """The steps of a run of `epochs` where the whole has `whole` and `steps`; None where it is as long as that."""
    return None if steps is None or epochs == whole else max(1, round(steps * epochs / whole))
