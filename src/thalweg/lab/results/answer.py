"""The shape of every answer: a sentence, a line to paste, a table, a folder, a report."""

from __future__ import annotations

import csv
import io
import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from thalweg.lab.arguments import need
from thalweg.lab.printable import aligned, visible
from thalweg.lab.study.records import to_json
from thalweg.lab.study.store import write_atomically

if TYPE_CHECKING:
    import pandas

TIMED = {"milliseconds_a_step", "seconds_to_target"}  # not in table.csv: it is the same wherever the trials are


class Answer(ABC):
    """What the lab found, of one study or of several.

    It has `verb`, `folder`, `verdict` (the answer in a sentence), `line` (to paste; "" where nothing can be
    recommended), `notes` (how it was done, what went wrong, what was not tested), `table` and `cells()`.
    """

    verb: ClassVar[str]
    folder: Path
    verdict: str
    line: str
    notes: list[str]

    @property
    @abstractmethod
    def table(self) -> list[dict[str, Any]]:
        """One dictionary a row, the best first. What does not exist is NaN, never left out."""

    @abstractmethod
    def cells(self) -> tuple[list[str], list[list[str]]]:
        """The table as people read it: headings and rows of text."""

    def to_pandas(self) -> pandas.DataFrame:
        """The table as a DataFrame.

        Raises:
            LabError: where pandas is missing: which command brings it.
        """
        frame: pandas.DataFrame = need("pandas", "pandas").DataFrame(self.table)
        return frame

    def to_latex(self) -> str:
        """The table as people read it, for a paper: a LaTeX `table` that needs booktabs."""
        from thalweg.lab.exports.latex import latex

        return latex(*self.cells(), self.verdict)

    def to_csv(self) -> str:
        """The table with all its numbers, unrounded."""
        records = [{name: cell for name, cell in record.items() if name not in TIMED} for record in self.table]
        names = list(dict.fromkeys(name for record in records for name in record))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
        return text.getvalue()

    def report(self, path: str | Path | None = None) -> Path:
        """Write the report, one HTML file; `report.html` in the study's folder if None."""
        from thalweg.lab.report import render

        target = Path(path) if path is not None else self.folder / "report.html"
        write_atomically(target, lambda: render(self))
        return target

    def save(self) -> None:
        """Write table.csv, result.json and report.html to the study's folder."""
        write_atomically(self.folder / "table.csv", self.to_csv)
        write_atomically(self.folder / "result.json", lambda: json.dumps(self.to_dict(), indent=2) + "\n")
        self.report()

    def to_dict(self) -> dict[str, Any]:
        """Verdict, line, notes and table as JSON has them: what is not finite is a string."""
        result: dict[str, Any] = to_json(
            {"verdict": self.verdict, "line": self.line, "notes": self.notes, "table": self.table}
        )
        return result

    def __str__(self) -> str:
        lines = aligned(*self.cells())
        return visible("\n".join([*lines, "", self.verdict, *([self.line] if self.line else [])]))

    def __repr__(self) -> str:
        return visible(f"{type(self).__name__}({str(self.folder)!r}: {self.verdict})")

    def _repr_html_(self) -> str:
        from thalweg.lab.report.card import card

        return card(self)
