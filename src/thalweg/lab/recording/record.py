"""Makes a recording: trains the chosen runs again, one at a time, and looks at the loss around them.

A run is its seed's, so it is the study's run again, whatever runner trained that: nothing is recorded while a study
goes on, and one that is at its end can be recorded later.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from thalweg.lab.errors import LabError, StudyError, first_line
from thalweg.lab.isolation import preserving_process
from thalweg.lab.recording.losses import Losses
from thalweg.lab.recording.path import MOST, Trajectory, flat, trained
from thalweg.lab.recording.read import recorded_trials, write
from thalweg.lab.study.records import why
from thalweg.lab.task.own_loop import OwnLoop
from thalweg.lab.training.agreement import CLOSE, distance
from thalweg.lab.training.loop import run_trial, train
from thalweg.lab.training.trial import Trial
from thalweg.play.landscape import SIZE, Landscape, Run, evaluations, landscape

if TYPE_CHECKING:
    from thalweg.catalogue import Entry
    from thalweg.lab.results import Result
    from thalweg.lab.study.campaign import Campaign
    from thalweg.lab.task.task import Task

RUNS = 8  # the best ones
BYTES = 256 * 2**20  # of all checkpoints of a study
FEWEST = 4  # checkpoints of a run
SECONDS = 60.0  # for all slices: they are coarser where the loss takes long
SIZES = (SIZE, 25, 19, 13, 9)


def check(task: Task) -> None:
    """Refuse a model whose checkpoints are too large, before anything is trained.

    Raises:
        LabError: with the sizes.
    """
    if isinstance(task, OwnLoop):
        raise LabError("record: needs a thalweg.Task; nobody but a training loop of your own knows its model")
    if not _room(width := _width(task)):
        raise LabError(
            f"record: the model has {width:,} trained numbers, and {FEWEST} checkpoints of a run are "
            f"{4 * FEWEST * width / 2**20:,.0f} MiB; must be at most {BYTES // 2**20} MiB"
        )


def record(campaign: Campaign, entries: Sequence[Entry], found: Result, size: int | None = None) -> None:
    """Make the recording of a study that is at its end, unless its folder has it.

    Args:
        size: points along each side of a slice; as many as a minute allows if None.

    Raises:
        LabError: where a run fails this time, or the loss around it cannot be worked out.
    """
    task = campaign.task
    width = _width(task)
    chosen = found.shown()[: min(RUNS, _room(width))]
    ids = [trial.id for _, trial in chosen]
    if not chosen:
        raise LabError("record: no run has ended well: there is none to keep")
    if recorded_trials(found.folder) == ids:
        return
    most = min(MOST, BYTES // (4 * width * len(chosen)))
    by_name, notes, ways = {entry.name: entry for entry in entries}, [], {}
    for name, trial in chosen:
        ways[name] = Trajectory(most)
        apart = _again(campaign, by_name[trial.optimizer], trial, ways[name])
        if apart > CLOSE:
            notes.append(f"{name}: this run is {apart:.1e} from the study's, relatively")
    seeds = sorted({trial.seed for _, trial in chosen})
    title = f"{found.spec['task']['name']}, seed {', '.join(map(str, seeds))}"
    runs = [Run(name, np.array(way.steps), way.array) for name, way in ways.items()]
    with preserving_process(task.device):
        made = _slices(chosen[0][1], task, ways[chosen[0][0]], runs, title, size)
    _write_weights(found.folder / "recording.npz", runs)
    write(found.folder, ids, replace(made, notes=tuple(notes)))
    found.report()  # a comparison's shows the ways


def _width(task: Task) -> int:
    with preserving_process(task.device):
        return sum(flat(p).numel() for p in trained(task.build(0)))


def _room(width: int) -> int:
    """How many runs there is room for."""
    return BYTES // (4 * FEWEST * width)


def _again(campaign: Campaign, entry: Entry, trial: Trial, way: Trajectory) -> float:
    """Train a run of the study again; how far it is from what is written down."""
    where = {"phase": trial.phase, "index": trial.index, "batch_size": trial.batch_size}
    job = campaign.job(entry, trial.settings, trial.seed, **where)  # type: ignore[arg-type]
    again = run_trial(campaign.task, job, partial(train, trajectory=way))
    if not again.done:
        raise LabError(f"record: {trial.optimizer} ended well in the study, and now {again.status} ({again.message})")
    return distance(trial, again)


def _slices(first: Trial, task: Task, way: Trajectory, runs: Sequence[Run], title: str, size: int | None) -> Landscape:
    assert way.model is not None
    own = task if first.batch_size is None else replace(task, batch_size=first.batch_size)
    try:
        losses = Losses(own, way.model, first.seed)
        shapes = [(*p.shape, 2) if p.is_complex() else tuple(p.shape) for p in trained(way.model)]
        size = size or _affordable(losses, runs)
        return landscape(runs, losses, shapes, title=title, size=size, batchnorm=losses.batchnorm)
    except Exception as error:  # the task's own code, at weights that it never saw
        raise LabError(f"record: the loss around the runs: {type(error).__name__}: {first_line(error)}") from error


def _affordable(losses: Losses, runs: Sequence[Run]) -> int:
    """The finest slices that take no more than a minute."""
    losses(runs[0].weights[0])
    clock = time.perf_counter()
    for _ in range(3):
        losses(runs[0].weights[-1])
    each = (time.perf_counter() - clock) / 3
    longest = max(len(run.steps) for run in runs)
    return next((n for n in SIZES if each * evaluations(len(runs), longest, n) < SECONDS), SIZES[-1])


def _write_weights(path: Path, runs: Sequence[Run]) -> None:
    """A whole file or none: `NAME/steps` and `NAME/weights` of each run."""
    held: dict[str, Any] = {}
    for run in runs:
        held |= {f"{run.name}/steps": run.steps, f"{run.name}/weights": run.weights}
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            np.savez(file, **held)
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise StudyError(f"record: cannot write to {path.parent}: {why(error)}") from None
