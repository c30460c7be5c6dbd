"""What a comparison over several tasks found: a joint table and verdict, each task's own study in a subfolder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thalweg.lab.judging.joint import FAR, JointRow, build_joint_table
from thalweg.lab.judging.wording.joint import joint_status, joint_verdict, margins
from thalweg.lab.judging.wording.numbers import listed
from thalweg.lab.results.answer import Answer
from thalweg.lab.results.comparison import Comparison
from thalweg.lab.study.store import write_atomically
from thalweg.lab.study.tasks import write_tasks


class JointComparison(Answer):
    """A finished comparison over several tasks. `studies` are the tasks' own comparisons, by name.

    Args:
        folder: where the joint table is; each study's folder is in it.
        studies: comparisons of the same optimizers, a task each.
    """

    verb = "joint"

    def __init__(self, folder: Path, studies: Mapping[str, Comparison]) -> None:
        self.folder, self.studies = folder, dict(studies)
        self.alpha = max(study.spec["protocol"]["alpha"] for study in studies.values())
        self.judged = build_joint_table({name: study.judged for name, study in studies.items()}, self.alpha)
        self.verdict = joint_verdict(self.judged)
        leader = self.judged.rows[0]
        self.line = "\n".join(
            f"{study.lines[leader.optimizer]}  # {name}" for name, study in studies.items() if leader.sound
        )
        self.notes = self._notes()

    @property
    def rows(self) -> tuple[JointRow, ...]:
        return self.judged.rows

    @property
    def table(self) -> list[dict[str, Any]]:
        """One dictionary an optimizer, the leader first. Differences are in margins, test values in their own unit."""
        return [self._record(rank, row) for rank, row in enumerate(self.rows, 1)]

    def cells(self) -> tuple[list[str], list[list[str]]]:
        headings = ["optimizer", "verdict", "difference (margins)"]
        headings += [f"{name}: test {study.unit.name}" for name, study in self.studies.items()]
        return headings, [self._cells(row, leader=position == 0) for position, row in enumerate(self.rows)]

    def save(self) -> None:
        """Write tasks.json, table.csv, table.tex, result.json and report.html to the folder."""
        write_tasks(self.folder, {name: study.folder for name, study in self.studies.items()})
        write_atomically(self.folder / "table.tex", lambda: self.to_latex() + "\n")
        super().save()

    def to_latex(self) -> str:
        """The joint table for a paper; the caption says how to read it."""
        from thalweg.lab.exports.latex import latex

        seeds = listed(sorted({str(len(row.finals)) for one in self.rows for row in one.rows.values()}))
        caption = (
            f"Test metrics of each optimizer, tuned on each task, with {1 - self.alpha:.0%} intervals over {seeds} "
            "fresh seeds. Differences to the leader are in margins (the least difference that is of use on a task): "
            "their weighted mean over the tasks. Verdicts are corrected for the number of optimizers."
        )
        return latex(*self.cells(), caption)

    def _cells(self, row: JointRow, leader: bool) -> list[str]:
        gap = row.judgement.difference if row.judgement else None
        tests = [
            study.unit.interval(row.rows[name].test) if name in row.rows else "not run"
            for name, study in self.studies.items()
        ]
        return [row.optimizer, joint_status(row, leader), margins(gap.mean, gap.half) if gap else "", *tests]

    def _record(self, rank: int, row: JointRow) -> dict[str, Any]:
        judged = row.judgement
        record = {
            "rank": rank,
            "optimizer": row.optimizer,
            "verdict": joint_status(row, leader=rank == 1),
            "difference": judged.difference.mean if judged else math.nan,
            "difference_low": judged.difference.low if judged else math.nan,
            "difference_high": judged.difference.high if judged else math.nan,
            "over_tasks_low": row.over_tasks.low if row.over_tasks else math.nan,
            "over_tasks_high": row.over_tasks.high if row.over_tasks else math.nan,
            "p_differs": judged.p_differs if judged else math.nan,
            "p_equal": judged.p_equal if judged else math.nan,
        }
        for name, study in self.studies.items():
            mine, gap = row.rows.get(name), (row.differences or {}).get(name)
            record |= {
                f"{name}_test": mine.test.mean if mine else math.nan,
                f"{name}_test_low": mine.test.low if mine else math.nan,
                f"{name}_test_high": mine.test.high if mine else math.nan,
                f"{name}_difference": gap.mean if gap else math.nan,
                f"{name}_difference_low": gap.low if gap else math.nan,
                f"{name}_difference_high": gap.high if gap else math.nan,
                f"{name}_line": study.lines.get(row.optimizer, ""),
            }
        return record

    def _notes(self) -> list[str]:
        scales = [
            f"{name} {study.unit.gap(study.judged.margin).lstrip('+')}"
            f"{' points' if study.unit.percent else ''} of test {study.unit.name}"
            for name, study in self.studies.items()
        ]
        light = [f"{name} {weight:.2g}" for name, weight in self.judged.weights.items() if weight < 1]
        weights = f" The weights: {', '.join(light)}; others 1." if light else ""
        return [
            f"Each task is a study of its own, with the protocol and the notes in its report: "
            f"{listed([f'{study.folder.name}/report.html' for study in self.studies.values()])}.",
            f"A difference is to the leader's test value on the same task and fresh seed, in that task's margins: "
            f"{'; '.join(scales)}. The joint difference is the mean over the tasks. A task on which the median "
            f"optimizer lies more than {FAR:g} margins behind the best has less weight, or it would drown the "
            f"others.{weights}",
            f"Intervals are {1 - self.alpha:.0%} t-intervals over fresh seeds (Welch's, a stratum a task). Verdicts "
            "are stricter: they allow for the number of optimizers, for a leader and configurations that "
            "were chosen partly by luck. Equivalent: surely nearer than one margin.",
            "Not in the intervals: which tasks these are. They are about these tasks, not about tasks in general; the "
            "columns over_tasks_low and over_tasks_high of table.csv hold the interval of tasks drawn at random.",
            *(f"Not judged: {row.optimizer}, {joint_status(row, False)}." for row in self.rows if not row.sound),
        ]
