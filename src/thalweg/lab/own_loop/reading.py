"""Where a command's metric is read: its output, a regular expression, or a file that it writes."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from thalweg.lab.errors import LabError
from thalweg.lab.own_loop.expression import Expression
from thalweg.lab.own_loop.number import number_of

STEPS = ("step", "steps", "global_step", "iteration", "iter", "epoch")  # what a step may be called beside a metric

Report = tuple[int | None, float | None]  # a step, where it is told, and a value, None where it is missing


class LineReader:
    """Finds the metric in lines of output.

    Args:
        metric: its name in a line of JSON.
        read: a regular expression instead: the group `value`, or the first, is the metric; a group `step` the step.
    """

    def __init__(self, metric: str, read: str = "") -> None:
        self.records = Records(metric)
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
        if isinstance(record, dict):
            yield from self.records.reports(record)


class Records:
    """Takes the metric from records, each a line of JSON or a row of a table.

    One without a value is missing a report, unless it is of another kind: loggers write a row for the training loss and
    one for the validation loss, with no column but the step in common.
    """

    def __init__(self, metric: str) -> None:
        self.metric = metric
        self.beside: set[str] = set()  # what stands in a record beside the metric

    def reports(self, record: Mapping[str, object]) -> Iterator[Report]:
        if self.metric not in record:
            return
        filled = {name for name, value in record.items() if value not in (None, "")} - {self.metric, *STEPS}
        if (value := _number(record[self.metric])) is not None:
            self.beside |= filled
        if value is not None or not filled or filled & self.beside:
            yield _step_of(record), value


def read_file(path: Path, metric: str, whole: bool = True) -> list[Report]:
    """The metric's values in a file, or in a folder of TensorBoard's event files.

    Args:
        path: of the file, or the folder.
        metric: its name.
        whole: whether the file is written to its end; else its last line may not be, and is left for later.

    Raises:
        LabError: for event files without TensorBoard installed, for a value that is not one number.
    """
    if path.is_dir():
        return _of_tensorboard(path, metric)
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    if not whole:
        text = text[: text.rfind("\n") + 1]
    if path.suffix == ".csv":
        records = Records(metric)
        return [report for row in _table(text) for report in records.reports(row)]
    reader = LineReader(metric)
    return [report for line in text.splitlines() for report in reader.reports(line)]


def columns(path: Path) -> list[str]:
    """The names in a table's first line."""
    return list(_table(path.read_text(encoding="utf-8-sig", errors="replace")).fieldnames or ())


def _table(text: str) -> csv.DictReader[str]:
    """A table as spreadsheets write it too: with semicolons or tabs, spaces after them."""
    lines = text.splitlines()
    delimiter = max(",;\t", key=(lines or [""])[0].count)
    table = csv.DictReader(lines, delimiter=delimiter, skipinitialspace=True)
    table.fieldnames = [name.strip() for name in table.fieldnames or ()]
    return table


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


def _step_of(record: Mapping[str, object]) -> int | None:
    for name in STEPS:
        if (number := _number(record.get(name))) is not None:
            return int(number)
    return None


def _number(value: object) -> float | None:
    if isinstance(value, str):
        return number_of(value)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
