"""The report of a comparison over several tasks: the joint answer, then the tasks, each with the way to its own."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote

from thalweg.lab.arguments import several
from thalweg.lab.judging.wording import status
from thalweg.lab.judging.wording.joint import joint_status, margins
from thalweg.lab.report import answer
from thalweg.lab.report.configuration import in_words
from thalweg.lab.report.figures.joint import joint_forest
from thalweg.lab.report.markup import named, table, verdict, whisker
from thalweg.lab.report.page import Figure, Page, Screen

if TYPE_CHECKING:
    from thalweg.lab.results import Comparison, JointComparison


def page(result: JointComparison) -> Page:
    """Two screens."""
    names = ", ".join(result.studies)
    return Page(
        title=f"{names}: which optimizer?",
        about=f"Which optimizer over {names}? {len(result.rows)} compared on {len(result.studies)} tasks",
        screens=[
            answer.screen(result.verdict, result.line, _facts(result), [_standings(result)], result.notes),
            _tasks(result),
        ],
    )


def _facts(result: JointComparison) -> list[tuple[str, str, str]]:
    studies = list(result.studies.values())
    trials = [trial for study in studies for trial in study.trials]
    seeds = " and ".join(sorted({str(study.spec["protocol"]["finalist_seeds"]) for study in studies}))
    return [
        ("Tasks", str(len(studies)), ", ".join(result.studies)),
        (
            "Against it",
            several(len(result.rows) - 1, "other"),
            f"on {seeds} fresh seed{'' if seeds == '1' else 's'} of each task",
        ),
        answer.price(trials, {}),
    ]


def _standings(result: JointComparison) -> str:
    ends = _span(result)
    rows = []
    for index, row in enumerate(result.rows):
        said, gap = joint_status(row, index == 0), row.judgement.difference if row.judgement else None
        tests = [
            escape(study.unit.interval(row.rows[name].test)) if name in row.rows else "not run"
            for name, study in result.studies.items()
        ]
        rows.append(
            (
                named(row.optimizer, index),
                verdict(said),
                escape(margins(gap.mean, gap.half)) if gap else "",
                whisker(gap.mean, gap.low, gap.high, 1.0, ends, said) if gap else "",
                *tests,
            )
        )
    headings = ["optimizer", "verdict", "difference (margins)", ""]
    headings += [f"{name}: test {study.unit.name}" for name, study in result.studies.items()]
    numbers = [2, *range(4, len(headings))]
    return f"<h2>The standings</h2>{table([escape(text) for text in headings], rows, numbers, 'standings')}"


def _span(result: JointComparison) -> tuple[float, float]:
    """The scale of the whiskers: all means, and the margin to either side."""
    means = [row.judgement.difference.mean for row in result.rows if row.judgement]
    low, high = min([*means, -1.5]), max([*means, 1.5])
    pad = 0.1 * (high - low)
    return low - pad, high + pad


def _tasks(result: JointComparison) -> Screen:
    figure = Figure(
        "joint-forest",
        joint_forest(result.rows, list(result.studies)),
        "Differences, task by task",
        "Test metric minus the joint leader's in each task's margins: a dot a task, the diamond the mean over the "
        "tasks with its 95 % interval. In the gray band a difference does not matter.",
    )
    parts = [_study(name, study) for name, study in result.studies.items()]
    judged = any(row.judgement for row in result.rows)
    return Screen("tasks", "Tasks", ["<h2>Each task by itself</h2>", *([figure] if judged else []), *parts])


def _study(name: str, study: Comparison) -> str:
    """A task's own standings, against its own leader, and its report."""
    rows = [
        (
            named(row.optimizer, index),
            verdict(status(row, index == 0)),
            escape(study.unit.interval(row.test)),
            escape(in_words(row.settings)),
        )
        for index, row in enumerate(study.rows)
    ]
    headings = ["optimizer", "verdict", escape(f"test {study.unit.name}"), "configuration"]
    link = f'<a href="{quote(study.folder.name)}/report.html">its report</a>'
    return (
        f'<div class="block"><h3>{escape(name)}</h3><p>{escape(study.verdict)} All of it: {link}.</p>'
        f"{table(headings, rows, (2,))}</div>"
    )
