"""A recording as it lies in a study's folder: read with care, as a folder is anybody's; no code runs for it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.lab.errors import StudyError
from thalweg.lab.study.command import to_record
from thalweg.lab.study.records import read_json
from thalweg.lab.study.store import write_atomically
from thalweg.lab.study.validation import a, amount, count, list_of, or_none, record, text

if TYPE_CHECKING:
    from thalweg.play.landscape import Landscape

NAME = "recording.json"


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e308


number = a("a number", _finite)
height = or_none(number)  # a loss may be infinite
pair = a("two numbers", lambda value: isinstance(value, list) and len(value) == 2 and all(map(_finite, value)))
side = a("two numbers, the lower first", lambda value: not pair(value) and value[0] < value[1])
RUN = record(
    name=text, steps=list_of(count), total=amount, path=list_of(pair), share=list_of(amount), loss=list_of(height),
    slice_loss=list_of(height),
)  # fmt: skip
SLICE = record(
    kind=text,
    stage=text,
    x=side,
    y=side,
    values=list_of(list_of(height)),
    runs=list_of(RUN),
    lines=list_of(record(name=text, at=list_of(number), loss=list_of(height))),
)
BLOCK = record(trials=list_of(text), title=text, batchnorm=or_none(text), notes=list_of(text), slices=list_of(SLICE))


def write(folder: Path, trials: Sequence[str], found: Landscape) -> None:
    """Write a recording of these trials."""
    block = {"trials": list(trials), **found.block()}
    write_atomically(folder / NAME, lambda: json.dumps(block, allow_nan=False) + "\n")


def read(folder: Path) -> Landscape:
    """The landscape of a study that was recorded.

    Raises:
        StudyError: where there is none, or a damaged one.
    """
    from thalweg.play.landscape import Landscape

    block = _block(folder)
    if block is None:
        raise StudyError(f"folder: {folder} has no recording; {to_record(folder)}")
    return Landscape.of(block)


def recorded_trials(folder: Path) -> list[str] | None:
    """The trials of the recording in a folder; None where there is none that can be read."""
    try:
        block = _block(folder)
    except StudyError:
        return None
    return None if block is None else list(block["trials"])


def _block(folder: Path) -> Mapping[str, Any] | None:
    found: Mapping[str, Any] | None = read_json(folder / NAME, _fault)
    return found


def _fault(value: Any) -> str:
    if wrong := BLOCK(value):
        return wrong
    if not value["slices"]:
        return ".slices: is empty"
    for place, one in enumerate(value["slices"]):
        rows = {len(row) for row in one["values"]}
        if len(rows) != 1 or min(rows) < 2 or len(one["values"]) < 2:
            return f".slices[{place}].values: must be rows of one length, two at least"
        for run in one["runs"]:
            if (
                len({len(run[key]) for key in ("steps", "path", "share", "loss", "slice_loss")}) != 1
                or not run["steps"]
            ):
                return f".slices[{place}].runs: has one whose columns are not of one length"
        if any(len(line["at"]) != len(line["loss"]) for line in one["lines"]):
            return f".slices[{place}].lines: has one whose columns are not of one length"
    return ""
