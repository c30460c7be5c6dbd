"""Any trial again, alone, to the same curve; any study's report again, from its folder."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from thalweg.lab.cost.machine import torch_threads
from thalweg.lab.errors import StudyError, TaskError
from thalweg.lab.own_loop.attempt import PRUNED
from thalweg.lab.own_loop.trial import trial_of
from thalweg.lab.results import Answer, read_answer
from thalweg.lab.study.optimizers import rebuild
from thalweg.lab.study.records import check_together, read_spec, read_trials, read_versions
from thalweg.lab.task.builtin import BUILT_IN
from thalweg.lab.task.load import load_task
from thalweg.lab.task.task import Task
from thalweg.lab.training.agreement import CLOSE, distance
from thalweg.lab.training.climb import PHASE, Climb
from thalweg.lab.training.job import Job, fewer_steps
from thalweg.lab.training.loop import run_trial
from thalweg.lab.training.spec import Spec
from thalweg.lab.training.trial import Configuration, Trial
from thalweg.lab.verbs.options import Folder
from thalweg.lab.verbs.verb import Option, verb

__all__ = ["Replay", "replay", "report"]


@dataclass(frozen=True)
class Replay:
    """A recorded trial and the same one again. `apart` is the largest relative distance of any two numbers of their
    curves; infinite where one has more epochs than the other, or another status."""

    recorded: Trial
    again: Trial
    apart: float

    @property
    def same(self) -> bool:
        """Equal within 1e-5, status included."""
        return self.apart <= CLOSE

    @property
    def verdict(self) -> str:
        setting = ", ".join(f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
                            for name, value in self.recorded.settings.items())  # fmt: skip
        what = f"{self.recorded.id}: {self.recorded.optimizer}{f' at {setting}' if setting else ''}"
        what += f", seed {self.recorded.seed}, {self.recorded.status}"
        if self.apart == 0:
            return f"{what}. The same, bit for bit."
        if self.same:
            return f"{what}. The same within {self.apart:.1e}, relatively."
        if self.recorded.status != self.again.status:
            return f"{what}. Another end: {self.again.status} ({self.again.message})."
        return f"{what}. Not the same: the curves are {self.apart:.1e} apart, relatively."

    def __str__(self) -> str:
        rows = [["steps", "train loss", "validation loss", "metric", "recorded"]]
        curve, old = self.again.curve, self.recorded.curve.validation_metric
        for position, step in enumerate(curve.steps):
            numbers = [curve.train_loss[position], curve.validation_loss[position], curve.validation_metric[position]]
            rows.append(
                [str(step), *(f"{n:.6g}" for n in numbers), f"{old[position]:.6g}" if position < len(old) else "none"]
            )
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        return "\n".join([*lines, "", self.verdict])


@verb
def replay(
    folder: Folder,
    trial: Annotated[str, Option("A trial's id, or how it begins: see the report or trials.jsonl.", argument=True)],
    *,
    task: Annotated[
        Task | str | None,
        Option(
            "Where the task is: its code runs, so a folder's word will not do, unless the task is built in.",
            unset="the study's",
            python="a `Task`",
        ),
    ] = None,
    optimizer: Annotated[
        Any,
        Option(
            "Where the optimizer is, if it is not the catalogue's or torch's.",
            unset="the study's",
            python="a class",
        ),
    ] = None,
) -> Replay:
    """Train one trial of a study again, by itself, and compare the two. The command exits with 1 where they differ.

    Raises:
        StudyError: for a folder that is not a study's, or a trial that it does not have.
        TaskError: for a task that is not named, cannot be found again, or is another one.
        LabError: for an optimizer that is not named, or is another one.
    """
    folder = Path(folder)
    spec = read_spec(folder)
    recorded = _find(list(read_trials(folder / "trials.jsonl").values()), trial, folder)
    check_together(folder, spec, [recorded])
    where = _where(folder, spec, task)  # before any code of the study's runs
    entry = rebuild(recorded.optimizer, spec["optimizers"][recorded.optimizer], optimizer)
    again = _task(spec, where)
    setting = Configuration(recorded.optimizer, recorded.settings, recorded.seed, recorded.batch_size)
    epochs = int(recorded.phase.split()[1]) if recorded.phase.startswith("rung ") else spec["task"]["epochs"]
    steps = fewer_steps(again.steps, epochs, spec["task"]["epochs"])
    until = recorded.steps if recorded.phase == PRUNED else epochs if recorded.phase.startswith("rung ") else None
    job = Job(recorded.id, recorded.phase, recorded.index, entry, setting, epochs, steps, until=until)
    threads = (read_versions(folder).get("threads") or {}).get("threads")
    with torch_threads(threads) if threads and again.device == "cpu" else nullcontext():
        new = run_trial(again, job, _climb(spec).train) if recorded.phase == PHASE else trial_of(again, job)
    return Replay(recorded, new, distance(recorded, new))


@verb
def report(folder: Folder) -> Answer:
    """A study's result again, from its folder alone, or that of several tasks: table, JSON and report are written anew.

    Raises:
        StudyError: for a folder that is not a study's, or has too few trials yet for an answer.
    """
    result = read_answer(Path(folder))
    result.save()
    return result


def _climb(spec: Spec) -> Climb:
    protocol = spec["protocol"]
    return Climb(protocol["low"], protocol["high"], protocol["steps"])


def _find(trials: Sequence[Trial], start: str, folder: Path) -> Trial:
    result = [trial for trial in trials if trial.id.startswith(start)] if start else []
    if len(result) == 1:
        return result[0]
    if result:
        raise StudyError(f"trial: {start!r} begins {len(result)} trials of {folder}: {_some(result)}; must begin one")
    raise StudyError(f"trial: {folder} has none that begins with {start!r}; it has {_some(trials) or 'no trials'}")


def _some(trials: Sequence[Trial]) -> str:
    return ", ".join(trial.id for trial in trials[:3]) + (f" and {len(trials) - 3} more" if len(trials) > 3 else "")


def _where(folder: Path, spec: Spec, given: Task | str | None) -> Task | str:
    """The task to run: the one that is given, or a built-in one; no code runs because a folder says so."""
    if given is not None:
        return given
    where = spec["task"].get("from")
    if where is None:
        raise TaskError(f"task: the study's task {spec['task']['name']!r} was an object in Python; must be given again")
    if where not in BUILT_IN and not where.startswith("mnist:"):
        raise TaskError(f"task: {folder} names code to run, {where}; if you trust it, name it: --task {where}")
    return str(where)


def _task(spec: Spec, where: Task | str) -> Task:
    task = load_task(where) if isinstance(where, str) else where
    if task.identity() != spec["task"]["identity"]:
        raise TaskError(f"task: {where if isinstance(where, str) else task.name} is not the study's task any more: "
                        "its source, its data or its model has changed")  # fmt: skip
    return task
