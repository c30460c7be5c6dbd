"""Which runner a study gets: what pays, by measurement; kept in the study, and told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from thalweg.lab.errors import LabError, first_line
from thalweg.lab.machine import cores, measure_pace, measure_threads, torch_threads
from thalweg.lab.runners.alone import Alone
from thalweg.lab.runners.processes import Processes
from thalweg.lab.runners.runner import Runner

if TYPE_CHECKING:
    from thalweg.catalogue import Entry
    from thalweg.lab.study import Study
    from thalweg.lab.task import Task

ALLOWED = "auto, alone, processes, lanes, ray or ray:ADDRESS"
START_UP = 3.0  # seconds until worker processes are at work: 2.4 s where importing torch takes 0.9 s
WORTH_IT = 1.1  # less gain than this is noise
BESIDES = 1.5  # a training takes so much longer than its forward and backward passes: the optimizer, evaluation


@dataclass(frozen=True)
class Choice:
    """How a study's trainings are run, and why. `gain` is trainings a second against one at a time, None if unknown."""

    on: str
    workers: int = 1
    lanes: int = 1
    threads: int = 1  # of each training
    gain: float | None = None
    reason: str = ""

    def __str__(self) -> str:
        side = f", up to {self.lanes} side by side in one model" if self.lanes > 1 else ""
        how = {
            "alone": "One training at a time",
            "lanes": f"Lanes{side}" + (f" in each of {self.workers} processes" if self.workers > 1 else ""),
            "processes": f"{self.workers} processes, each one training at a time",
            "ray": f"A Ray cluster{side}",
        }[self.on.partition(":")[0]]
        gain = f", {self.gain:.2g} x as fast as one at a time" if self.gain is not None else ""
        return f"{how}{gain}" + (f": {self.reason}" if self.reason else "") + "."


def choose(
    task: Task, entries: Sequence[Entry], on: str = "auto", *, trainings: int = 100, threads: int | None = None
) -> tuple[Runner, Choice]:
    """The runner for a task's trainings.

    Args:
        on: "auto" takes what pays: lanes, else one process a core, else one training at a time. Or a runner's name.
        trainings: how many there will be, about: a few short ones do not pay for starting anything.
        threads: torch threads of a training that runs alone; measured if None.

    Raises:
        LabError: for an unknown name, and for a runner asked for by name that cannot run this task, with the reason.
    """
    known(on)
    if on == "alone":
        return Alone(), Choice("alone", threads=_threads(task, threads), reason="as asked")
    if on == "processes":
        return _processes(task, threads, "as asked")
    if on == "lanes":
        return _lanes(task, entries)
    if on != "auto":
        return _ray(on)
    return _what_pays(task, entries, trainings, threads)


def known(on: Any) -> None:
    """Refuse what is not a runner's name."""
    if on not in ("auto", "alone", "processes", "lanes", "ray") and not (
        isinstance(on, str) and on.startswith("ray:") and on != "ray:"
    ):
        raise LabError(f"on: got {on!r}; must be {ALLOWED}")


def again(choice: Choice) -> Runner:
    """The runner that a study has chosen before."""
    if choice.on == "alone":
        return Alone()
    if choice.on == "processes":
        return Processes()
    raise LabError(f"on: the study was run with {choice.on}, which is not there")


@contextmanager
def settled(
    study: Study, task: Task, entries: Sequence[Entry], on: str = "auto", trainings: int = 100
) -> Iterator[Runner]:
    """The study's runner: chosen once, then kept; another one asked for later is noted. It is closed at the end."""
    known(on)
    kept = study.versions.get("runner")
    if kept is not None and on in ("auto", kept["on"]):
        choice = Choice(**kept)
        runner = again(choice)
    else:
        threads = study.versions.get("threads", {}).get("threads")
        runner, choice = choose(task, entries, on, trainings=trainings, threads=threads)
        study.settle("runner", lambda: asdict(choice))
        if kept is not None:
            study.notes.append(f"Begun otherwise ({Choice(**kept)}), gone on with: {choice}")
    if kept is None or on in ("auto", kept["on"]):
        study.notes.append(str(choice))
    with runner, torch_threads(choice.threads) if task.device == "cpu" else nullcontext():
        yield runner


def _what_pays(task: Task, entries: Sequence[Entry], trainings: int, threads: int | None) -> tuple[Runner, Choice]:
    settled_threads = _threads(task, threads)
    alone = Choice("alone", threads=settled_threads)
    if torch.device(task.device).type != "cpu":
        return Alone(), replace(alone, reason="the device is shared by all processes")
    if cores() < 2:
        return Alone(), replace(alone, reason="there is one core")
    with torch_threads(settled_threads):
        pace = measure_pace(task)
    seconds = BESIDES * trainings * _steps(task) / pace
    saved = seconds * (1 - 1 / cores())
    if saved < 2 * START_UP:
        return Alone(), replace(alone, reason=f"all trainings together take about {seconds:.2g} s")
    try:
        runner, choice = _processes(task, settled_threads, "", pace)
    except LabError as error:
        return Alone(), replace(alone, reason=f"worker processes will not do: {first_line(error)}")
    if (choice.gain or 0) < WORTH_IT:
        runner.close()
        reason = f"{choice.workers} processes would be {choice.gain:.2g} x as fast"
        return Alone(), replace(alone, reason=reason)
    return runner, choice


def _processes(task: Task, threads: int | None, reason: str, pace: float | None = None) -> tuple[Runner, Choice]:
    if pace is None:
        with torch_threads(_threads(task, threads)):
            pace = measure_pace(task)
    runner = Processes()
    gain = round(runner.measure(task) / pace, 2)
    return runner, Choice("processes", workers=runner.workers, gain=gain, reason=reason)


def _lanes(task: Task, entries: Sequence[Entry]) -> tuple[Runner, Choice]:
    raise LabError("on: lanes are not there yet")


def _ray(on: str) -> tuple[Runner, Choice]:
    raise LabError("on: ray is not there yet")


def _threads(task: Task, threads: int | None) -> int:
    return threads or int(measure_threads(task)["threads"])


def _steps(task: Task) -> float:
    """The steps of one training, about."""
    rows = task.sources["train"].rows
    steps = getattr(task, "steps", None)
    if steps:
        return float(steps)
    return task.epochs * (rows / task.batch_size if rows else 1000.0)
