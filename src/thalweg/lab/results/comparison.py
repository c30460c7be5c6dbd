"""What a comparison found: a table, a sentence, the line to paste, a report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from thalweg.lab.judging import wording
from thalweg.lab.judging.notes import describe
from thalweg.lab.judging.nothing_learned import unbeaten
from thalweg.lab.judging.rows import Row, build_table
from thalweg.lab.judging.wording.numbers import behind, beyond, listed, of_task
from thalweg.lab.results.result import ACCURACY_MARGIN, Result
from thalweg.lab.search.protocol import Protocol
from thalweg.lab.study.optimizers import paste
from thalweg.lab.training.spec import Spec
from thalweg.lab.training.trial import Trial


class Comparison(Result):
    """A finished comparison. `table` is its rows as dictionaries, `verdict` the answer in a sentence."""

    verb = "compare"

    def __init__(self, *parts: Any, **more: Any) -> None:
        super().__init__(*parts, **more)
        spec = self.spec
        task = spec["task"]
        margin = task["margin"]
        if margin is None and self.unit.percent:
            margin = ACCURACY_MARGIN
        judged = build_table(
            self.trials,
            list(spec["optimizers"]),
            self.larger_is_better,
            margin,
            spec["protocol"]["alpha"],
            Protocol(**spec["protocol"]).first_look,
            self.versions.get("milliseconds"),
        )
        self.judged = judged
        self.lines = {row.optimizer: paste(spec, row.optimizer, row.settings) for row in judged.rows}
        self.notes = [*describe(spec, judged, self.trials, self.unit), *self.notes]
        leader = judged.rows[0]
        (values, known), *rivals = self.ends("test", [row.finals for row in judged.rows])
        limits = [beyond(task), *self.left_out(what="configurations planned of each optimizer"), *self.untested(known)]
        self.verdict = wording.verdict(judged, task["name"], self.unit, "; ".join(limits))
        self.line = "" if leader.failed_finals else self.lines[leader.optimizer]
        base = unbeaten(values, known, self.larger_is_better, rivals, judged.margin)
        if base is not None and not leader.failed_finals:
            measured = f"{self.unit.interval(leader.test)} {self.unit.test}"
            best = base.said(f"the best {of_task(leader.optimizer, task['name'])}", measured, self.unit)
            self.verdict = behind(f"{best}.", self.left_out())
            self.line = self.unlearned_line(leader.optimizer, base)

    @classmethod
    def lacking(cls, spec: Spec, trials: Sequence[Trial], cut: bool = False) -> str:
        ended = {trial.optimizer for trial in trials if trial.phase == "final"}
        begun = {trial.optimizer for trial in trials if trial.phase == "search" and trial.index == 0}
        bare = [name for name in spec["optimizers"] if name not in ended & begun]
        if bare:
            return f"no fresh seed of {listed(bare)} has been trained"
        missing = cls.unsearched(trials) or ("" if cut else cls.seeds_missing(spec, trials))
        return f"it lacks {missing}" if missing else ""

    @property
    def seeds_to_decide(self) -> int | None:
        """How many fresh seeds in all would decide what is undecided, with 80 % power; None where none would."""
        rows = [row.judgement for row in self.rows if row.judgement and row.judgement.verdict == "undecided"]
        needed = [judged.more_seeds for judged in rows if judged.more_seeds]
        return max(needed) + len(self.rows[0].finals) if needed and self.line else None

    @property
    def rows(self) -> tuple[Row, ...]:
        return self.judged.rows

    def _shown(self) -> dict[str, Sequence[Trial]]:
        return {row.optimizer: row.finals for row in self.rows}

    @property
    def table(self) -> list[dict[str, Any]]:
        """One dictionary an optimizer, the leader first. What does not exist is NaN, never left out."""
        return [self._record(rank, row) for rank, row in enumerate(self.rows, 1)]

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """The table as people read it: headings and rows of text."""
        target = self.unit.value(self.judged.target)
        headings = [
            "optimizer",
            "lr",
            self.unit.test,
            self.unit.gap_name,
            "verdict",
            f"steps to {target}",
            "hits",
            "equivalent lr",
            "stable to lr",
            "failed",
        ]
        return headings, [self._cells(row, leader=position == 0) for position, row in enumerate(self.rows)]

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
            "runs": row.searched + len(row.finals),
            "fresh_seeds_failed": row.failed_finals,
        }
