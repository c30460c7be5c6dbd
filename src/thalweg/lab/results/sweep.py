"""What a sweep found: for each optimizer the best learning rate, the equivalent ones, and where training breaks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from thalweg.lab.arguments import length, several
from thalweg.lab.judging.cliff import SAFE, failure_chances, recommended
from thalweg.lab.judging.notes import data_note, failures
from thalweg.lab.judging.nothing_learned import unbeaten
from thalweg.lab.judging.statistics import Interval, mean_interval
from thalweg.lab.judging.wording import Unit, rate
from thalweg.lab.judging.wording.numbers import behind, beyond, course, listed, of_task, subject
from thalweg.lab.results.result import Result
from thalweg.lab.search.configurations import Candidate, as_good_range, highest_stable, ranked
from thalweg.lab.study.optimizers import paste
from thalweg.lab.training.spec import Spec
from thalweg.lab.training.trial import Trial


@dataclass(frozen=True)
class SweepRow:
    """One optimizer's sweep. `default` is its default setting, `fails_from` the lowest rate above the stable ones
    at which a seed failed (NaN where none did), `value` the best rate's metric over the seeds that finished,
    `recommended` the best rate that keeps a margin from where runs fail."""

    optimizer: str
    candidates: tuple[Candidate, ...]
    best: Candidate
    value: Interval
    as_good: tuple[float, float] | None
    highest_stable: float
    fails_from: float
    on_edge: bool
    recommended: Candidate
    chance: float  # that a run on a fresh seed fails at the recommended rate; NaN where none failed
    best_chance: float  # and at the best one

    @property
    def default(self) -> Candidate:
        return self.candidates[0]

    @property
    def failed(self) -> bool:
        """Not one run ended."""
        return math.isnan(self.best.metric)

    @property
    def failed_share(self) -> float:
        return sum(candidate.failed for candidate in self.candidates) / sum(
            len(candidate.trials) for candidate in self.candidates
        )


class Sweep(Result):
    """A finished sweep. `rows` has one `SweepRow` an optimizer, the best first; the first one's rate is in `line`."""

    verb = "sweep"

    def __init__(self, *parts: Any, **more: Any) -> None:
        super().__init__(*parts, **more)
        spec = self.spec
        rows = [self._row(name, candidates) for name, candidates in self.candidates.items()]
        best_first = ranked([row.best for row in rows], self.larger_is_better)
        self.rows = tuple(sorted(rows, key=lambda row: next(i for i, p in enumerate(best_first) if p is row.best)))
        leader = self.rows[0]
        self.line = "" if leader.failed else paste(spec, leader.optimizer, leader.recommended.settings)
        others = [one.trials for row in self.rows for one in row.candidates if one is not leader.best]
        (values, known), *rivals = self.ends("validation", [leader.best.trials, *others])
        fewer = self.left_out("points", "learning rates planned")
        limits = [*fewer, *(self.untested(known) if self.line else [])]
        self.verdict = behind(sentence(self.rows, spec["task"]["name"], self.unit), limits)
        base = unbeaten(values, known, self.larger_is_better, rivals, self.margin_beside(leader.value.mean))
        if base is not None and not leader.failed:
            measured = f"{self.unit.interval(leader.value)} {self.unit.validation}"
            best = base.said(f"the best {of_task(leader.optimizer, spec['task']['name'])}", measured, self.unit)
            self.verdict = behind(f"{best}.", fewer)
            self.line = self.unlearned_line(leader.optimizer, base)
        self.notes = [*_describe(spec), *failures(self.trials), *self.notes]

    @classmethod
    def lacking(cls, spec: Spec, trials: Sequence[Trial], cut: bool = False) -> str:
        ended = {trial.optimizer for trial in trials if trial.index == 0}
        bare = [name for name in spec["optimizers"] if name not in ended]
        return f"no run of {listed(bare)} has ended" if bare else ""

    def _shown(self) -> dict[str, Sequence[Trial]]:
        return {row.optimizer: row.best.trials for row in self.rows}

    def _row(self, optimizer: str, candidates: list[Candidate]) -> SweepRow:
        best = ranked(candidates, self.larger_is_better)[0]
        stable = highest_stable(candidates)
        broken = [p.rate for p in candidates if p.failed and (math.isnan(stable) or p.rate > stable)]
        kept, chance = recommended(candidates, self.larger_is_better)
        return SweepRow(
            optimizer=optimizer,
            candidates=tuple(candidates),
            best=best,
            value=mean_interval([trial.metric for trial in best.trials if trial.done]),
            as_good=as_good_range(candidates, best, self.larger_is_better),
            highest_stable=stable,
            fails_from=min(broken, default=math.nan),
            on_edge=self._on_edge(candidates, best),
            recommended=kept,
            chance=chance,
            best_chance=failure_chances(candidates).get(best.index, math.nan),
        )

    def _on_edge(self, candidates: Sequence[Candidate], best: Candidate) -> bool:
        """Whether the best is an end of the range. A default far outside it is not the range's end."""
        low, high = self.spec["protocol"]["lr"]
        step = 1.05 * (high / low) ** (1 / (self.spec["protocol"]["points"] - 1))
        inside = [p.rate for p in candidates if p.index != 0]
        if not inside:  # the deadline left nothing but the default
            return True
        if candidates[0].rate and min(inside) / step <= candidates[0].rate <= max(inside) * step:
            inside.append(candidates[0].rate)
        return best.rate <= min(inside) or best.rate >= max(inside)

    @property
    def table(self) -> list[dict[str, Any]]:
        """One dictionary an optimizer, the best first."""
        return [
            {
                "rank": rank,
                "optimizer": row.optimizer,
                "lr": row.best.rate if not row.failed else math.nan,
                "recommended_lr": row.recommended.rate if not row.failed else math.nan,
                "failure_chance": row.chance,
                "line": "" if row.failed else paste(self.spec, row.optimizer, row.recommended.settings),
                "validation": row.value.mean,
                "validation_low": row.value.low,
                "validation_high": row.value.high,
                "as_good_low": (row.as_good or (math.nan, math.nan))[0],
                "as_good_high": (row.as_good or (math.nan, math.nan))[1],
                "default_lr": row.default.rate,
                "default_validation": row.default.metric,
                "highest_stable_lr": row.highest_stable,
                "fails_from_lr": row.fails_from,
                "on_edge": row.on_edge,
                "failed_share": row.failed_share,
                "runs": sum(len(candidate.trials) for candidate in row.candidates),
            }
            for rank, row in enumerate(self.rows, 1)
        ]

    def cells(self) -> tuple[list[str], list[list[str]]]:
        headings = [
            "optimizer", "best lr", self.unit.validation, "equivalent lr", "default lr",
            f"{self.unit.name} there", "stable to lr", "fails from lr", "failed",
        ]  # fmt: skip
        return headings, [self._cells(row) for row in self.rows]

    def _cells(self, row: SweepRow) -> list[str]:
        return [
            row.optimizer,
            ("none" if row.failed else rate(row.best.rate)) + (" (edge)" if row.on_edge and not row.failed else ""),
            self.unit.interval(row.value),
            "none" if row.as_good is None else " to ".join(dict.fromkeys(map(rate, row.as_good))),
            rate(row.default.rate),
            self.unit.value(row.default.metric),
            rate(row.highest_stable),
            rate(row.fails_from),
            f"{row.failed_share:.0%}",
        ]


def sentence(rows: Sequence[SweepRow], task: str, unit: Unit) -> str:
    """The answer: the best optimizer's in full, one figure for each of the others."""
    leader, others = rows[0], rows[1:]
    if leader.failed:
        what = "every optimizer" if others else leader.optimizer
        return f"No answer for {task}: {what} diverged or crashed at every learning rate."
    best = f"lr {rate(leader.best.rate)} ends best, at {unit.interval(leader.value)} {unit.validation}"
    parts = [f"{subject(leader.optimizer, task)}: {best} on {several(leader.value.n, 'seed')}"]
    if leader.as_good and leader.as_good[0] < leader.as_good[1]:
        parts.append(f"{rate(leader.as_good[0])} to {rate(leader.as_good[1])} perform equivalently")
    if leader.default.index != leader.best.index:
        parts.append(_default(leader, unit))
    parts.append(_breaks(leader))
    if leader.recommended.index != leader.best.index:
        parts.append(_margin(leader, unit))
    elif leader.chance > SAFE:
        parts.append(f"no rate is surely safe: about {leader.chance:.0%} of fresh seeds may fail at the best")
    if leader.on_edge:
        parts.append("not fully tuned: the best is on the edge of what was tried")
    if others:
        shown = [f"{row.optimizer} {'fails everywhere' if row.failed else _figure(row, unit)}" for row in others[:4]]
        parts.append("behind it " + ", ".join(shown) + (f" and {len(others) - 4} more" if len(others) > 4 else ""))
    return "; ".join(parts) + "."


def _default(row: SweepRow, unit: Unit) -> str:
    default = rate(row.default.rate)
    if math.isnan(row.default.metric):
        return f"the default {default} fails"
    gap = row.best.metric - row.default.metric
    return f"the default {default} ends {unit.gap(abs(gap)).lstrip('+')}{' points' if unit.percent else ''} worse"


def _breaks(row: SweepRow) -> str:
    if math.isnan(row.fails_from):
        return f"none failed up to {rate(max(candidate.rate for candidate in row.candidates))}"
    if math.isnan(row.highest_stable):
        return f"seeds fail from the lowest rate tried, {rate(row.fails_from)}, on"
    return f"stable up to {rate(row.highest_stable)}, failing from {rate(row.fails_from)} on"


def _margin(row: SweepRow, unit: Unit) -> str:
    """Why the line has another rate than the best."""
    return (
        f"recommended is {rate(row.recommended.rate)} ({unit.value(row.recommended.metric)}), which keeps a margin: "
        f"about {row.chance:.0%} of fresh seeds may fail there, {row.best_chance:.0%} at the best"
    )


def _figure(row: SweepRow, unit: Unit) -> str:
    return f"{unit.value(row.value.mean)} at {rate(row.best.rate)}"


def _describe(spec: Spec) -> list[str]:
    protocol, task = spec["protocol"], spec["task"]
    low, high = protocol["lr"]
    cut = f" Cut to fit a budget of {length(protocol['budget'])}." if protocol.get("budget") else ""
    further = ", and on past an end where the best rate stood there" if protocol["extend"] else ""
    return [
        f"Tried: {several(protocol['points'], 'learning rate')} from {low:g} to {high:g}, evenly on a logarithmic "
        f"scale{further}; "
        f"then {2 * protocol['closer']} more, each half way from the best to a neighbor; the default too; "
        f"{several(protocol['seeds'], 'seed')} each, {course(task)}.{cut}",
        "Values are of validation at the end of training; the test set was not read. The best of many rates looks a "
        "little better than it is, and optimizers are not judged against each other here: `thalweg compare` does that "
        "on fresh seeds.",
        "Equivalent: neighboring rates within 5 %, or one seed deviation, of the best. Stable: no seed failed at it or "
        "below. Failed: crashed, not finite, or losses far above the first ones.",
        data_note(task),
        f"Not tested: {beyond(task)}, other batch sizes, hyperparameters, schedules.",
    ]
