"""Numbers and findings in plain words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from thalweg.lab.statistics import Interval
from thalweg.lab.table import Row, Table


@dataclass(frozen=True)
class Unit:
    """How a metric is written: accuracy in percent and points, anything else to four digits."""

    name: str

    @property
    def percent(self) -> bool:
        return self.name == "accuracy"

    def value(self, number: float) -> str:
        if math.isnan(number):
            return "none"
        return f"{100 * number:.1f} %" if self.percent else f"{number:.4g}"

    def gap(self, number: float, half: float = math.nan) -> str:
        """A difference, signed, in points where the metric is in percent: `-0.4 ± 0.2`."""
        if math.isnan(number):
            return "none"
        text = f"{100 * number:+.1f}" if self.percent else f"{number:+.3g}"
        if math.isnan(half):
            return text
        return f"{text} ± {100 * half:.1f}" if self.percent else f"{text} ± {half:.2g}"

    @property
    def gap_name(self) -> str:
        return "difference (points)" if self.percent else "difference"

    def interval(self, interval: Interval) -> str:
        """`97.2 % ± 0.6`; without a spread to judge by, that is said."""
        text = self.value(interval.mean)
        if interval.n == 0:
            return text
        if math.isnan(interval.half):
            return f"{text} (one seed)"
        return f"{text} ± {100 * interval.half:.1f}" if self.percent else f"{text} ± {interval.half:.2g}"


def rate(number: float) -> str:
    return "none" if math.isnan(number) else f"{number:.3g}"


def status(row: Row, leader: bool) -> str:
    """The last column of the table: how an optimizer stands to the leader."""
    if row.failed_finals:
        return f"failed on {row.failed_finals} of {len(row.finals)} fresh seeds"
    if leader:
        return "leads"
    if row.judgement is None:
        return "not judged: the leader failed"
    if row.judgement.verdict != "undecided":
        if row.judgement.difference.half > 0:
            return row.judgement.verdict
        # no spread to judge by: say so
        same = row.judgement.difference.mean == 0
        return "equal on every seed" if same else f"{row.judgement.verdict}, alike on every seed"
    more = row.judgement.more_seeds
    if row.judgement.difference.n < 2:
        return "undecided, one seed"
    return f"undecided, +{more} seed{'s' * (more > 1)}" if more else "undecided, +1000 seeds"


def verdict(table: Table, task: str, unit: Unit) -> str:
    """The answer in one sentence."""
    leader, others = table.rows[0], table.rows[1:]
    count = len(leader.finals)
    if leader.failed_finals:
        what = "every optimizer" if others else leader.optimizer
        always = all(row.failed_finals == len(row.finals) for row in table.rows)
        where = "every fresh seed" if always else "at least one fresh seed"
        return f"No answer for {task}: {what} diverged or crashed on {where}."
    seeds = "1 fresh seed" if count == 1 else f"{count} fresh seeds"
    setting = ", ".join(
        f"{name} {rate(value) if isinstance(value, float) else value}" for name, value in leader.settings.items()
    )
    named = f"{leader.optimizer}{f' at {setting}' if setting else ''}"
    value = unit.interval(leader.test) if count > 1 else unit.value(leader.test.mean)
    measured = f"{value} test {unit.name} on {seeds}"
    if others and all(row.judgement and row.judgement.verdict == "undecided" for row in others):
        return (
            f"Undecided on {task}: {named} is the best on validation ({measured}), but no optimizer is shown "
            f"to be worse{_needed(others, count)}."
        )
    head = f"{named} {'leads' if others else 'is the only one tried'} on {task}: {measured}"
    return "; ".join([head, *_findings(others, unit, count)]) + "."


def _findings(others: Sequence[Row], unit: Unit, seeds: int) -> list[str]:
    groups: dict[str, list[Row]] = {}
    for row in others:
        groups.setdefault("failed" if row.failed_finals or not row.judgement else row.judgement.verdict, []).append(row)
    found = []
    for verdict, title in (
        ("better", "better on the test set, though not on validation"),
        ("practically equal", "practically equal"),
    ):
        if rows := groups.get(verdict):
            found.append(f"{title}: {_names(rows)}")
    if rows := groups.get("worse"):
        found.append(f"worse: {_names(rows, unit)}")
    if rows := groups.get("undecided"):
        found.append(f"undecided: {_names(rows)}{_needed(rows, seeds)}")
    if rows := groups.get("failed"):
        found.append(f"failed on a fresh seed: {_names(rows)}")
    return found


def _names(rows: Sequence[Row], unit: Unit | None = None) -> str:
    shown = [
        f"{row.optimizer} ({unit.gap(row.judgement.difference.mean)}{' points' if unit.percent else ''})"
        if unit and row.judgement
        else row.optimizer
        for row in rows[:4]
    ]
    if len(rows) > 4:
        shown.append(f"{len(rows) - 4} more")
    return shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + " and " + shown[-1]


def _needed(rows: Sequence[Row], seeds: int) -> str:
    if seeds < 2:
        return " (one seed cannot tell them apart)"
    needed = [row.judgement.more_seeds for row in rows if row.judgement]
    known = sorted(more for more in needed if more is not None)
    if not known:
        return " (even a thousand seeds would not decide)"
    if known[0] == known[-1]:
        text = f"about {known[0]} more seed{'s' if known[0] > 1 else ''}"
    else:
        text = f"about {known[0]} to {known[-1]} more seeds"
    return f" ({text} would decide{'' if len(known) == len(needed) else ' some'})"
