"""Where a command's metric is read: its output, a regular expression, or a file that it writes."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

from thalweg.lab.errors import LabError
from thalweg.lab.own_loop.expression import Expression

STEPS = ("step", "steps", "global_step", "iteration", "iter", "epoch")  # what a step may be called beside a metric

Report = tuple[int | None, float]


class LineReader:
    """Finds the metric in lines of output.

    Args:
        metric: its name in a line of JSON.
        read: a regular expression instead: the group `value`, or the first, is the metric; a group `step` the step.
    """

    def __init__(self, metric: str, read: str = "") -> None:
        self.metric = metric
        self.expression = Expression(read) if read else None

    def reports(self, line: str) -> Iterator[Report]:
        """The metric's values in a line, with the step where it is told.

        Raises:
            LabError: the expression takes a part of a word for a number.
        """
        if self.expression is None:
            yield from self._of_json(line)
        else:
            yield from self.expression.reports(line)

    def _of_json(self, line: str) -> Iterator[Report]:
        line = line.strip()
        if not line.startswith("{"):
            return
        try:
            record = json.loads(line)
        except ValueError:
            return
        if isinstance(record, dict) and (value := _number(record.get(self.metric))) is not None:
            yield _step_of(record), value


def read_file(path: Path, metric: str) -> list[Report]:
    """The metric's values in a file, or in a folder of TensorBoard's event files.

    Raises:
        LabError: for event files without TensorBoard installed.
    """
    if path.is_dir():
        return _of_tensorboard(path, metric)
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix == ".csv":
        rows = [row for row in csv.DictReader(text.splitlines()) if row.get(metric)]
        found = [(_step_of(row), _number(row[metric])) for row in rows]
        return [(step, value) for step, value in found if value is not None]
    reader = LineReader(metric)
    return [report for line in text.splitlines() for report in reader.reports(line)]


def _of_tensorboard(folder: Path, metric: str) -> list[Report]:
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    except ModuleNotFoundError:
        raise LabError("metric_file: TensorBoard is not installed: pip install 'thalweg[tensorboard]'") from None
    accumulator = EventAccumulator(str(folder))
    accumulator.Reload()
    if metric not in accumulator.Tags()["scalars"]:
        return []
    return [(int(event.step), float(event.value)) for event in accumulator.Scalars(metric)]


def _step_of(record: dict[str, object]) -> int | None:
    for name in STEPS:
        if (number := _number(record.get(name))) is not None:
            return int(number)
    return None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except ValueError:
        return None
