"""The shape all results share: a sentence, a line to paste, a table, the trials, a folder, a report."""

from __future__ import annotations

import csv
import io
import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from thalweg.lab.judging.wording import Unit
from thalweg.lab.printable import visible
from thalweg.lab.runners.choice import choice_notes
from thalweg.lab.search.configurations import Candidate, candidates_of
from thalweg.lab.study.records import to_json
from thalweg.lab.study.store import write_atomically
from thalweg.lab.training.trial import Trial

if TYPE_CHECKING:
    import pandas

    from thalweg.play.landscape import Landscape

TIMED = {"milliseconds_a_step", "seconds_to_target"}  # not in table.csv: it is the same wherever the trials are


class Result(ABC):
    """What a verb found. Everything here comes from the study's folder: it can be made again from that alone.

    A page needs no more than this: `verb`, `spec` (what was asked), `versions` (with what), `trials` (every one, failed
    ones too), `tried` (the search's settings by optimizer), `unit` (how the metric is written), `verdict` (the answer
    in a sentence), `line` (to paste; "" where nothing can be recommended), `notes` (how it was done, what went wrong,
    what was not tested), `cells()` (the table as text), and `rows`, whose fields are the kind's own.
    """

    verb: ClassVar[str]
    verdict: str
    line: str
    notes: list[str]

    def __init__(
        self,
        folder: Path,
        spec: Mapping[str, Any],
        versions: Mapping[str, Any],
        trials: Sequence[Trial],
        notes: Sequence[str] = (),
    ) -> None:
        self.folder, self.spec, self.versions, self.trials = folder, spec, versions, tuple(trials)
        self.notes = [*notes, *choice_notes(versions)]
        self.unit = Unit(spec["task"]["metric"])
        self.larger_is_better = bool(spec["task"]["larger_is_better"])

    @classmethod
    def lacking(cls, spec: Mapping[str, Any], trials: Sequence[Trial]) -> str:
        """What a study needs before it has an answer, in words; empty where it has all."""
        bare = [name for name in spec["optimizers"] if not any(t.optimizer == name for t in trials)]
        return f"no training of {', '.join(bare)} has ended" if bare else ""

    @staticmethod
    def unsearched(trials: Sequence[Trial]) -> str:
        """Which finalists were never searched for: lines of the folder are gone."""
        candidates = {(trial.optimizer, trial.index) for trial in trials if trial.phase == "search"}
        bare = {
            (t.optimizer, t.index): None
            for t in trials
            if t.phase == "final" and (t.optimizer, t.index) not in candidates
        }
        return ", ".join(f"the search of {name}, setting {index}" for name, index in bare)

    @staticmethod
    def seeds_missing(spec: Mapping[str, Any], trials: Sequence[Trial]) -> str:
        """Which finalists lack fresh seeds: paired differences need all of them."""
        wanted = spec["protocol"]["finalist_seeds"]
        seeds = Counter((trial.optimizer, trial.index) for trial in trials if trial.phase == "final")
        short = {name: wanted - number for (name, _), number in seeds.items() if number < wanted}
        return ", ".join(f"{number} fresh seeds of {name}" for name, number in short.items())

    @property
    @abstractmethod
    def table(self) -> list[dict[str, Any]]:
        """One dictionary a row, the best first. What does not exist is NaN, never left out."""

    @abstractmethod
    def cells(self) -> tuple[list[str], list[list[str]]]:
        """The table as people read it: headings and rows of text."""

    @cached_property
    def candidates(self) -> dict[str, list[Candidate]]:
        """The settings of the search, by optimizer."""
        searched = [trial for trial in self.trials if trial.phase == "search"]
        return {name: candidates_of(t for t in searched if t.optimizer == name) for name in self.spec["optimizers"]}

    def shown(self) -> list[tuple[str, Trial]]:
        """The runs that a recording keeps, the best first, with their names: of one seed where all have one that ended
        well, so that they begin at the same weights."""
        groups = {name: [trial for trial in trials if trial.done] for name, trials in self._shown().items()}
        ended = {name: trials for name, trials in groups.items() if trials}
        common = set.intersection(*({t.seed for t in trials} for trials in ended.values())) if ended else set()
        seed = min(common, default=None)
        return [(name, next((t for t in trials if t.seed == seed), trials[0])) for name, trials in ended.items()]

    def _shown(self) -> dict[str, Sequence[Trial]]:
        """By name the trials of which one can be shown, the best first."""
        return {}

    def landscape(self) -> Landscape:
        """The loss around the recorded runs, for a study that was made, or run again, with `record=True`. No code of
        the task runs. In a notebook it is a picture.

        Raises:
            StudyError: for a study without a recording.
        """
        from thalweg.lab.recording.read import read

        return read(self.folder)

    @property
    def seconds(self) -> float:
        """What the study cost, added up over its trials."""
        return sum(trial.seconds for trial in self.trials)

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

    def to_optuna(self, storage: Any = None, name: str | None = None) -> Any:
        """Add all trials to an Optuna study of this storage ("sqlite:///x.db"; in memory if None), and return it."""
        from thalweg.lab.exports.optuna import write

        return write(self, storage, name)

    def __str__(self) -> str:
        headings, rows = self.cells()
        widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in [headings, *rows]
        ]
        return visible("\n".join([*lines, "", self.verdict, *([self.line] if self.line else [])]))

    def __repr__(self) -> str:
        return visible(f"{type(self).__name__}({str(self.folder)!r}: {self.verdict})")

    def _repr_html_(self) -> str:
        from thalweg.lab.report.card import card

        return card(self)

    def _csv(self) -> str:
        records = [{name: cell for name, cell in record.items() if name not in TIMED} for record in self.table]
        names = list(dict.fromkeys(name for record in records for name in record))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
        return text.getvalue()
