"""What every verb is asked, checked in one place: the task, whole numbers, ranges, lengths of time, the folder."""

from __future__ import annotations

import hashlib
import math
import re
from importlib import import_module
from pathlib import Path
from typing import Any

from thalweg.lab.errors import LabError, TaskError
from thalweg.lab.random.seeds import FRESH
from thalweg.lab.task.load import load
from thalweg.lab.task.own_loop import OwnLoop, takes_a_run
from thalweg.lab.task.task import Task

LONGEST_NAME = 120  # bytes of 255: other names are made from it
NUMBER = r"(\d+\.?\d*|\.\d+)\s*"
HOURS, MINUTES, SECONDS = (
    rf"(?:{NUMBER}{unit}\s*)?" for unit in ("h(?:ours?)?", "m(?:in(?:utes?)?)?", "s(?:ec(?:onds?)?)?")
)
LENGTH = re.compile(HOURS + MINUTES + SECONDS)


def the_task(task: Any, command: str | None = None, **loop: Any) -> tuple[Task, str | None, Path]:
    """The task; how to load it again, None for one that came as an object; and the folder that this was asked in.

    Args:
        task: a `Task`, a function `train(run)`, or the name of either.
        command: instead of it, a command that trains.
        loop: what `OwnLoop` takes, for a training loop of the user's own; None is as if not given.

    A task's file may go to its data's folder as it loads: the study is where it was asked for all the same.
    """
    here = Path.cwd()
    loop = {name: value for name, value in loop.items() if value is not None}
    if command:
        if task:
            raise TaskError(f"command: got a task too, {task!r}; must be one of the two")
        name = next((Path(word).stem for word in command.split() if word.endswith(".py")), "command")
        return _own_loop(command=command, **{"name": name, **loop}), None, here
    if isinstance(task, str) and task:
        again, found = where_it_is(task), load(task)
        if isinstance(found, tuple):
            function, stem, source = found
            return _own_loop(function=function, **{"name": stem, "source": source, **loop}), again, here
    else:
        again, found = None, task
        if takes_a_run(task):
            name = getattr(task, "__name__", "train")
            return _own_loop(function=task, **{"name": name, **loop}), None, here
    if not isinstance(found, Task):
        raise TaskError(
            f"task: got {'none' if task is None else repr(task)}; must be a thalweg.Task, a function train(run), or "
            "the name of one, such as digits (`thalweg tasks` lists those that are built in)"
        )
    if loop:
        raise TaskError(f"{next(iter(loop))}: a thalweg.Task has its own; it is for a training loop of your own")
    return found, again, here


def _own_loop(**given: Any) -> OwnLoop:
    """A training loop of the user's own; what it gives is called "loss" or "score" unless that is said."""
    return OwnLoop(**{"metric": "score" if given.get("direction") == "max" else "loss", **given})


def where_it_is(task: str) -> str:
    """The name of a task as it holds in any folder."""
    where, colon, attribute = task.rpartition(":")
    if not colon:
        where, attribute = task, ""
    if where == "mnist":
        return f"mnist:{Path(attribute).resolve()}"
    if where.endswith(".py"):
        return f"{Path(where).resolve()}{colon}{attribute}"
    return task


def integer(name: str, value: Any, least: int = 1) -> int:
    """A whole number of at least so much."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise LabError(f"{name}: got {value!r}; must be a whole number of at least {least}")
    return value


def search_seeds(value: Any) -> int:
    """How many seeds a search may use: fewer than leave none that are fresh."""
    if integer("seeds", value) > FRESH:
        raise LabError(f"seeds: got {value}; must be at most {FRESH}, where the fresh seeds begin")
    return int(value)


def span(name: str, value: Any) -> tuple[float, float]:
    """A range of positive numbers, low < high; from the command line as `1e-5,1e-1`."""
    try:
        parts = [float(part) for part in (value.split(",") if isinstance(value, str) else value)]
    except (TypeError, ValueError):
        parts = []
    if len(parts) != 2 or not 0 < parts[0] < parts[1] < math.inf:
        raise LabError(f"{name}: got {value!r}; must be two positive numbers, the lower first, such as 1e-5,1e-1")
    return parts[0], parts[1]


def seconds(name: str, value: str | float | None) -> float | None:
    """A length of time in seconds, from a number or from `90s`, `10m`, `1.5h`, `1h30m`.

    >>> seconds("budget", "4m30s"), seconds("budget", "1 h 05 min"), seconds("budget", "10")
    (270.0, 3900.0, 10.0)
    """
    if value is None:
        return None
    number = _in_seconds(value) if isinstance(value, str) else math.nan if isinstance(value, bool) else float(value)
    if not 0 < number < math.inf:
        raise LabError(f"{name}: got {value!r}; must be a length of time such as 90s, 10m, 1h or 4m30s")
    return number


def _in_seconds(text: str) -> float:
    """A bare number, or hours, minutes and seconds in this order, any of them left out. NaN for anything else."""
    text = text.strip().lower()
    if re.fullmatch(NUMBER, text):
        return float(text)
    if not text or not (match := LENGTH.fullmatch(text)):
        return math.nan
    return sum(float(part) * unit for part, unit in zip(match.groups(default="0"), (3600.0, 60.0, 1.0), strict=True))


def length(seconds: float) -> str:
    """A length of time as people say it: `2.5 s`, `45 s`, `2 min 30 s`, `1 h 05 min`."""
    if seconds < 9.5:
        return f"{seconds:.2g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def several(number: int, what: str) -> str:
    """`1 seed`, `2 seeds`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def need(package: str, extra: str) -> Any:
    """An optional package, imported.

    Raises:
        LabError: where it is missing: which command brings it.
    """
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        raise LabError(f"{package} is not installed: pip install 'thalweg[{extra}]'") from error


def folder_of(out: str | Path | None, here: Path, *parts: str) -> Path:
    """The study's folder: the one asked for, or `studies/` and what it is about; as seen from `here`."""
    if out is not None and "\0" in str(out):
        raise LabError(f"out: got {str(out)!r}; must be a name without a null character")
    folder = Path(out) if out is not None else Path("studies") / file_name("-".join(parts))
    return folder if Path.cwd() == here else here / folder


def file_name(text: str) -> str:
    """A name for a file or a folder: letters, digits and `-_.`, of a length that every file system takes.

    >>> file_name("adam(lr=0.1)"), len(file_name("x" * 1000))
    ('adam-lr-0.1-', 120)
    """
    name = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in text)
    if len(name.encode()) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(text.encode(errors="replace")).hexdigest()[:8]  # two long names stay two
    return f"{name.encode()[: LONGEST_NAME - 9].decode(errors='ignore')}-{digest}"
