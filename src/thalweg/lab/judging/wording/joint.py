"""What several tasks together found, in a sentence or a word."""

from __future__ import annotations

import math
from collections.abc import Sequence

from thalweg.lab.judging.joint import JointRow, JointTable
from thalweg.lab.judging.wording.numbers import listed


def joint_status(row: JointRow, leader: bool) -> str:
    """How an optimizer stands to the joint leader."""
    if row.missing:
        return f"not run on {listed(row.missing)}"
    if row.failed:
        return f"failed on {listed(row.failed)}"
    if leader:
        return "leads"
    if row.judgement is None:
        return "not judged: the leader failed"
    if math.isnan(row.judgement.p_differs):
        return "undecided, one seed"
    return row.judgement.verdict


def margins(mean: float, half: float = math.nan) -> str:
    """A difference in margins: `-3.2 ± 0.8`."""
    return f"{mean:+.1f}" if math.isnan(half) else f"{mean:+.1f} ± {half:.1f}"


def joint_verdict(table: JointTable) -> str:
    """The answer in a few short clauses: who leads over all tasks, who is equivalent, who is worse, what is open."""
    leader, others = table.rows[0], table.rows[1:]
    tasks = list(table.weights)
    over = f"{len(tasks)} tasks ({listed(tasks)})"
    if not leader.sound:
        return f"No answer for {over}: every optimizer failed on a fresh seed of at least one task."
    limits = "not tested: other tasks"
    if others and all(row.judgement and row.judgement.verdict == "undecided" for row in others):
        return (
            f"Undecided over {over}: {leader.optimizer} is the best on validation, but no optimizer is shown to be "
            f"worse; more fresh seeds may decide; {limits}."
        )
    head = f"{leader.optimizer} {'leads' if others else 'is the only one tried'} over {over}"
    return "; ".join([head, *_findings(others), limits]) + "."


def _findings(others: Sequence[JointRow]) -> list[str]:
    groups: dict[str, list[JointRow]] = {}
    for row in others:
        groups.setdefault(row.judgement.verdict if row.judgement else "failed", []).append(row)
    said = {
        "better": "better on the test sets, though not on validation",
        "equivalent": "equivalent within the margin",
        "worse": "worse",
        "undecided": "undecided",
        "failed": "not judged",
    }
    return [f"{words}: {listed([_named(row) for row in groups[key]])}" for key, words in said.items() if key in groups]


def _named(row: JointRow) -> str:
    """The name with what one wants to know beside it."""
    if row.judgement is None:
        return f"{row.optimizer} ({joint_status(row, False)})"
    gap, verdict = row.judgement.difference, row.judgement.verdict
    against = row.ahead() if verdict in ("worse", "equivalent") else row.behind() if verdict == "better" else []
    other = f", though {'worse' if verdict == 'better' else 'better'} on {listed(against)}" if against else ""
    size = f"{margins(gap.mean, gap.half)} margins" if verdict in ("better", "worse") else ""
    inside = f"{size}{other}" if size else other.removeprefix(", ")
    return f"{row.optimizer} ({inside})" if inside else row.optimizer
