"""What a comparison found: a table, a sentence, the line to paste, a report."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.lab import wording
from thalweg.lab.notes import describe
from thalweg.lab.protocol import Protocol
from thalweg.lab.study import Study, to_json, write_atomically
from thalweg.lab.table import Row, build_table
from thalweg.lab.task import Task
from thalweg.lab.trial import Trial

if TYPE_CHECKING:
    import pandas

    from thalweg.catalogue import Entry

ACCURACY_MARGIN = 0.005
TIMED = {"milliseconds_a_step", "seconds_to_target"}  # not in table.csv: it is the same wherever the trials are


class Comparison:
    """A finished comparison. `table` is its rows as dictionaries, `verdict` the answer in a sentence."""

    def __init__(
        self,
        folder: Path,
        spec: Mapping[str, Any],
        versions: Mapping[str, Any],
        trials: Sequence[Trial],
        lines: Mapping[str, str],
        notes: Sequence[str] = (),
    ) -> None:
        self.folder, self.spec, self.versions, self.trials = folder, spec, versions, tuple(trials)
        task = spec["task"]
        self.unit = wording.Unit(task["metric"])
        margin = task["margin"]
        if margin is None and self.unit.percent:
            margin = ACCURACY_MARGIN
        judged = build_table(
            self.trials,
            list(spec["optimizers"]),
            task["larger_is_better"],
            margin,
            spec["protocol"]["alpha"],
            Protocol(**spec["protocol"]).first_look,
            versions.get("milliseconds"),
        )
        self.judged = judged
        self.lines = dict(lines)
        self.notes = [*describe(spec, judged, self.trials, self.unit), *notes]
        self.verdict = wording.verdict(judged, task["name"], self.unit)

    @classmethod
    def of(cls, task: Task, entries: Sequence[Entry], study: Study) -> Comparison:
        """The comparison that a study's trials amount to."""
        found = cls(study.folder, study.spec, study.versions, list(study.trials.values()), {}, study.notes)
        by_name = {entry.name: entry for entry in entries}
        found.lines = {row.optimizer: by_name[row.optimizer].line(**row.settings) for row in found.rows}
        return found

    @property
    def rows(self) -> tuple[Row, ...]:
        return self.judged.rows

    @property
    def line(self) -> str:
        """The line to paste: the leader as tuned."""
        return self.lines[self.rows[0].optimizer]

    @property
    def table(self) -> list[dict[str, Any]]:
        """One dictionary an optimizer, the leader first. What does not exist is NaN, never left out."""
        return [self._record(rank, row) for rank, row in enumerate(self.rows, 1)]

    def to_pandas(self) -> pandas.DataFrame:
        """The table as a DataFrame."""
        import pandas

        return pandas.DataFrame(self.table)

    def report(self, path: str | Path | None = None) -> Path:
        """Write the report, one HTML file; `report.html` in the study's folder if None."""
        from thalweg.lab.report import render

        target = Path(path) if path is not None else self.folder / "report.html"
        write_atomically(target, lambda: render(self))
        return target

    def save(self) -> None:
        """Write table.csv, result.json and report.html to the study's folder."""
        result = {"verdict": self.verdict, "line": self.line, "notes": self.notes, "table": self.table}
        write_atomically(self.folder / "table.csv", self._csv)
        write_atomically(self.folder / "result.json", lambda: json.dumps(to_json(result), indent=2) + "\n")
        self.report()

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """The table as people read it: headings and rows of text."""
        target = self.unit.value(self.judged.target)
        headings = [
            "optimizer",
            "lr",
            f"test {self.unit.name}",
            self.unit.gap_name,
            "verdict",
            f"steps to {target}",
            "hits",
            "as good: lr",
            "stable to lr",
            "failed",
        ]
        return headings, [self._cells(row, leader=place == 0) for place, row in enumerate(self.rows)]

    def __str__(self) -> str:
        headings, rows = self.cells()
        widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in [headings, *rows]
        ]
        return "\n".join([*lines, "", self.verdict, self.line])

    def __repr__(self) -> str:
        return f"Comparison({str(self.folder)!r}: {self.verdict})"

    def _repr_html_(self) -> str:
        headings, rows = self.cells()
        head = "".join(f"<th>{escape(text)}</th>" for text in headings)
        body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        return (
            f"<p>{escape(self.verdict)}</p><pre>{escape(self.line)}</pre>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )

    def _cells(self, row: Row, leader: bool) -> list[str]:
        setting = wording.rate(row.settings["lr"]) if "lr" in row.settings else "default"
        gap = row.judgement.difference if row.judgement else None
        difference = "" if gap is None else self.unit.gap(gap.mean, gap.half)
        steps = f"{row.steps_to_target:.0f}" if math.isfinite(row.steps_to_target) else "never"
        as_good = "none" if row.as_good is None else " to ".join(dict.fromkeys(map(wording.rate, row.as_good)))
        return [
            row.optimizer,
            setting + (" (edge)" if row.on_edge else ""),
            self.unit.interval(row.test),
            difference,
            wording.status(row, leader),
            steps,
            f"{row.hits}/{len(row.finals)}",
            as_good,
            wording.rate(row.highest_stable),
            f"{row.diverged_share:.0%}",
        ]

    def _record(self, rank: int, row: Row) -> dict[str, Any]:
        judged = row.judgement
        low, high = row.as_good or (math.nan, math.nan)
        return {
            "rank": rank,
            "optimizer": row.optimizer,
            **row.settings,
            "line": self.lines.get(row.optimizer, ""),
            "test": row.test.mean,
            "test_low": row.test.low,
            "test_high": row.test.high,
            "validation": row.validation.mean,
            "difference": judged.difference.mean if judged else math.nan,
            "difference_low": judged.difference.low if judged else math.nan,
            "difference_high": judged.difference.high if judged else math.nan,
            "verdict": wording.status(row, leader=rank == 1),
            "more_seeds": judged.more_seeds if judged else None,
            "steps_to_target": row.steps_to_target,
            "hit_rate": row.hits / len(row.finals),
            "milliseconds_a_step": row.milliseconds,
            "seconds_to_target": row.seconds_to_target,
            "as_good_low": low,
            "as_good_high": high,
            "sensitivity_decades": row.sensitivity.decades if row.sensitivity else math.nan,
            "highest_stable_lr": row.highest_stable,
            "on_edge": row.on_edge,
            "diverged_share": row.diverged_share,
            "trainings": row.searched + len(row.finals),
            "fresh_seeds_failed": row.failed_finals,
        }

    def _csv(self) -> str:
        records = [{name: cell for name, cell in record.items() if name not in TIMED} for record in self.table]
        names = list(dict.fromkeys(name for record in records for name in record))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
        return text.getvalue()
