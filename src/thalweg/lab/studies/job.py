"""A job: one trial that is asked for. A runner turns jobs into trials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thalweg.lab.training.trial import Setting

if TYPE_CHECKING:
    from thalweg.catalogue import Entry


@dataclass(frozen=True)
class Job:
    """All that a trial's numbers depend on beside the task, and its place in the study.

    `id` is `setting.identity(...)`; `phase` is "search" or "final" (only finals read the test set); `index` is the
    setting's place in its optimizer's list, 0 is the default setting.
    """

    id: str
    phase: str
    index: int
    entry: Entry
    setting: Setting
    epochs: int
