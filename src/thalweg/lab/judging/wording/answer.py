"""What a comparison found, in a sentence or a word."""

from __future__ import annotations

import math
from collections.abc import Sequence

from thalweg.lab.arguments import several
from thalweg.lab.judging.rows import Row, Table
from thalweg.lab.judging.wording.numbers import Unit, duration, listed, rate, span
from thalweg.lab.training.trial import Status


def status(row: Row, leader: bool) -> str:
    """The last column of the table: how an optimizer stands to the leader."""
    if row.failed_finals:
        return f"failed on {row.failed_finals} of {several(len(row.finals), 'fresh seed')}"
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
    return f"undecided, +{several(more, 'seed')}" if more else "undecided, too close"


def verdict(table: Table, task: str, unit: Unit, untested: str = "") -> str:
    """The answer in a few short clauses: who leads and how, who is equivalent, who is worse, what is open.

    Args:
        untested: what the answer does not reach to, such as "more than 20 epochs".
    """
    leader, others = table.rows[0], table.rows[1:]
    count = len(leader.finals)
    if leader.failed_finals:
        what = "every optimizer" if others else leader.optimizer
        always = all(row.failed_finals == len(row.finals) for row in table.rows)
        where = "every fresh seed" if always else "at least one fresh seed"
        return f"No answer for {task}: {what} {_failures(table.rows)} on {where}."
    value = unit.interval(leader.test) if count > 1 else unit.value(leader.test.mean)
    measured = f"{value} {unit.test} on {several(count, 'fresh seed')}"
    named = f"{leader.optimizer}{_setting(leader)}"
    limits = [f"not tested: {untested}"] if untested else []
    if others and all(row.judgement and row.judgement.verdict == "undecided" for row in others):
        chosen = " on validation" if unit.parted else ""
        head = f"Undecided on {task}: {named} is the best{chosen} ({measured})"
        open_ = f"but no optimizer is shown to be worse{_needed(others, table, count)}"
        return "; ".join([f"{head}, {open_}", *limits]) + "."
    head = f"{named} {'leads' if others else 'is the only one tried'} on {task}: {measured}"
    if leader.optimizer == task:  # the command's script makes an optimizer that the study does not know
        head = f"{named}: {measured}"
    return "; ".join([head, *_findings(others, table, unit, count), *limits]) + "."


def _setting(row: Row) -> str:
    """` at lr 0.002 (0.0012 to 0.0035 perform equivalently), beta1 0.9`; a verb comes after it."""
    parts = []
    for name, value in row.settings.items():
        part = f"{name} {rate(value) if isinstance(value, float) else value}"
        if name == "lr" and row.as_good and (between := span(*row.as_good)) != rate(row.settings["lr"]):
            part += f" ({between} perform equivalently)"
        parts.append(part)
    edge = ", at the edge of what was tried," if row.on_edge else ""
    return f" at {', '.join(parts)}{edge}" if parts else ""


def _failures(rows: Sequence[Row]) -> str:
    """What became of the fresh seeds that failed: `diverged or crashed`, `diverged`, `ran out of memory`."""
    seen = {trial.status for row in rows for trial in row.finals if not trial.done}
    words = [status.in_words for status in Status if status in seen] or ["failed"]
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]


def _findings(others: Sequence[Row], table: Table, unit: Unit, seeds: int) -> list[str]:
    groups: dict[str, list[Row]] = {}
    for row in others:
        groups.setdefault("failed" if row.failed_finals or not row.judgement else row.judgement.verdict, []).append(row)
    result = []
    if rows := groups.get("better"):
        result.append(f"better on the test set, though not on validation: {_gaps(rows, unit)}")
    if rows := groups.get("equivalent"):
        result.append(f"equivalent within the margin: {_names(rows)}")
    if rows := groups.get("worse"):
        result.append(f"worse: {_gaps(rows, unit)}")
    if rows := groups.get("undecided"):
        result.append(f"undecided: {_names(rows)}{_needed(rows, table, seeds)}")
    if rows := groups.get("failed"):
        result.append(f"failed on a fresh seed: {_names(rows)}")
    return result


def _names(rows: Sequence[Row]) -> str:
    return listed([row.optimizer for row in rows])


def _gaps(rows: Sequence[Row], unit: Unit) -> str:
    """Names with their differences to the leader, the nearest first: they are what one might choose instead."""
    near = sorted(rows, key=lambda row: abs(row.judgement.difference.mean) if row.judgement else math.inf)
    gaps = [(row.optimizer, row.judgement.difference) for row in near if row.judgement]
    points = " points" if unit.percent else ""
    return listed([f"{name} ({unit.gap(gap.mean, gap.half)}{points})" for name, gap in gaps], most=3)


def _needed(rows: Sequence[Row], table: Table, seeds: int) -> str:
    if seeds < 2:
        return " (one seed cannot tell them apart)"
    needed = [row.judgement.more_seeds for row in rows if row.judgement]
    known = sorted(more for more in needed if more is not None)
    if not known:
        return " (too close to be told apart by more seeds alone)"
    low, high = known[0], known[-1]
    text = f"about {several(high, 'more seed')}" if low == high else f"about {low} to {high} more seeds"
    time = f", {duration(high * table.seconds_a_seed)}," if math.isfinite(table.seconds_a_seed) else ""
    return f" ({text}{time} needed for 80 % power{'' if len(known) == len(needed) else ' on some'})"
