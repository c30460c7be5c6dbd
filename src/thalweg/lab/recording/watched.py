"""One run of a task with lens around it: the same numbers as without, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from thalweg.lab.isolation import preserving_process
from thalweg.lab.training.batches import rounds
from thalweg.lab.training.loop import run_trial, train
from thalweg.lens.finding import Finding
from thalweg.lens.watching import lens

if TYPE_CHECKING:
    from thalweg.lab.recording.path import Trajectory
    from thalweg.lab.task.task import Task
    from thalweg.lab.training.job import Job
    from thalweg.lab.training.run import Run
    from thalweg.lab.training.trial import Trial

BATCHES = 16  # on which advice is tried


@dataclass(frozen=True)
class Watched:
    """A run as a study writes it down, and what lens saw of it."""

    trial: Trial
    seen: lens
    findings: Sequence[Finding]


class _Observer:
    """In place of a trajectory: it is shown the run before the first step and after each."""

    def __init__(self, run: Run, **settings: Any) -> None:
        self.run, self.settings = run, settings
        self.seen: lens | None = None

    def see(self, steps: int, model: nn.Module, optimizer: torch.optim.Optimizer, last: bool = False) -> None:
        if self.seen is None:
            self.seen = lens(optimizer, model, quiet=True, **self.settings).__enter__()
        elif not last:
            self.tell()

    def tell(self) -> None:
        if self.seen is not None and self.run.losses:
            self.seen.loss(self.run.losses[-1])


def watched(task: Task, job: Job, *, tried: bool = False, **settings: Any) -> Watched:
    """Train once, watched, whatever becomes of it.

    Args:
        tried: try the advice of the findings in short runs on the first batches.
        settings: of `thalweg.lens`.

    Raises:
        RuntimeError: for a run that failed before its first step, with what was said.
    """
    watches: list[_Observer] = []

    def drive(run: Run) -> None:
        watches.append(_Observer(run, snapshot=tried, **settings))
        trajectory: Trajectory = watches[0]  # type: ignore[assignment]
        train(run, trajectory)

    trial = run_trial(task, job, drive)
    seen = watches[0].seen if watches else None
    if seen is None:
        raise RuntimeError(trial.message or "the run did not start")
    if not trial.done:  # the last step's loss was not shown any more
        watches[0].tell()
    seen.close()
    if not tried:
        return Watched(trial, seen, seen.findings)
    with preserving_process(task.device):
        return Watched(trial, seen, seen.tried(task.compute_loss, _batches(job.adapt(task), job)))


def _batches(task: Task, job: Job) -> list[Any]:
    return [batch for part in islice(rounds(task, job.setting.seed, job.epochs), 1) for batch in islice(part, BATCHES)]
