"""What a run reported: (step, value) pairs in a file that is only appended to, so that no kill loses one."""

from __future__ import annotations

import json
import math
from pathlib import Path

from torch import Tensor

from thalweg.lab.errors import TaskError
from thalweg.lab.task.evaluation import as_number

REPORTS = "reports.jsonl"
SAID = "said.jsonl"  # what a script tells through `thalweg.report`; the study's side reads it


class Reports:
    """The values of one run by step, in a file or, without one, in memory.

    A run that goes on from a checkpoint reports some steps once more: a report takes the place of all those at its
    step or later, as if the run had never been broken off.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.steps: list[int] = []
        self.values: list[float] = []
        for step, value in read_lines(path) if path is not None else ():
            self._put(step, value)

    def add(self, step: int, value: float) -> None:
        """Take in one report, on the disk before this returns."""
        self._put(step, value)
        if self.path is not None:
            append(self.path, step, value)

    def forget(self, after: int) -> None:
        """Drop what was reported after a step: the run goes on from there."""
        while self.steps and self.steps[-1] > after:
            self.steps.pop()
            self.values.pop()

    def _put(self, step: int, value: float) -> None:
        self.forget(step - 1)
        self.steps.append(step)
        self.values.append(value)


def append(path: Path, step: int, value: float, **others: float) -> None:
    """Write a report at a file's end, in one write."""
    line = json.dumps({"step": step, "value": value, **others}) + "\n"
    with open(path, "a", encoding="utf-8") as file:
        file.write(line)


def read_lines(path: Path) -> list[tuple[int, float]]:
    """The whole reports of a file, in their order; a last line that a kill cut short is not one."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            record = json.loads(line)
            found.append((int(record["step"]), float(record["value"])))
        except (ValueError, TypeError, KeyError):
            continue
    return found


def checked_step(step: object) -> int:
    """A step as it must be.

    Raises:
        ValueError: it is no whole number >= 0.
    """
    number = int(step) if hasattr(step, "__index__") or (isinstance(step, float) and step.is_integer()) else -1
    if isinstance(step, bool) or number < 0:
        raise ValueError(f"step: got {step!r}; must be a whole number >= 0")
    return number


def checked_value(value: object) -> float:
    """A value as it must be: one number, NaN and infinity among them.

    Raises:
        TaskError: it is something else.
    """
    if isinstance(value, bool):
        raise TaskError(f"metric: returned {value}; must return one number")
    return as_number(value.detach() if isinstance(value, Tensor) else value)


def broken(values: list[float]) -> bool:
    """Whether the last two values are no numbers: one may be an accident of a metric, two are the run's end."""
    return len(values) > 1 and not any(math.isfinite(value) for value in values[-2:])
