"""The report of a comparison: five screens."""

from __future__ import annotations

import math
from collections import Counter
from html import escape
from typing import TYPE_CHECKING

from thalweg.lab.arguments import several
from thalweg.lab.errors import StudyError
from thalweg.lab.judging.rows import Row
from thalweg.lab.judging.wording import rate, status
from thalweg.lab.report import answer, trials
from thalweg.lab.report.axis_choice import switch
from thalweg.lab.report.configuration import failures, in_words
from thalweg.lab.report.figures.best_of import best_of_figure
from thalweg.lab.report.figures.curves import Course, curves
from thalweg.lab.report.figures.forest import forest, span
from thalweg.lab.report.figures.measure import measures
from thalweg.lab.report.figures.paths import paths_figure
from thalweg.lab.report.figures.reach import reach
from thalweg.lab.report.figures.sensitivity import decades, sensitivity
from thalweg.lab.report.figures.sweep import sweep
from thalweg.lab.report.glance import glance
from thalweg.lab.report.markup import named, table, verdict, whisker
from thalweg.lab.report.page import Figure, Page, Part, Screen

if TYPE_CHECKING:
    from thalweg.lab.results import Comparison


def page(result: Comparison) -> Page:
    """All screens of a comparison."""
    task, preset = result.spec["task"]["name"], result.spec["protocol"]["preset"]
    return Page(
        title=f"{task}: which optimizer?",
        about=f"Which optimizer for {task}? {len(result.rows)} compared by the {preset} protocol",
        screens=[
            answer.screen(
                result.verdict, result.line, _facts(result), [_glance(result), _standings(result)], result.notes
            ),
            _sweep(result),
            _curves(result),
            _robustness(result),
            trials.screen(result.trials, result.unit, result.spec, result.versions),
        ],
        names=[row.optimizer for row in result.rows],
    )


def _facts(result: Comparison) -> list[tuple[str, str, str]]:
    leader, unit = result.rows[0], result.unit
    seeds = several(len(leader.finals), "fresh seed")
    good = leader.as_good
    verdicts = Counter(row.judgement.verdict if row.judgement else "failed" for row in result.rows[1:])
    others = ", ".join(f"{count} {word}" for word, count in verdicts.most_common())
    return [
        (f"Test {unit.name} of {leader.optimizer}", unit.interval(leader.test), f"95 % interval, {seeds}"),
        ("Equivalent learning rates", " to ".join(dict.fromkeys(map(rate, good))) if good else "none", "on validation"),
        *([("Against it", several(len(result.rows) - 1, "other"), others)] if others else []),
        answer.price(result.trials, result.versions),
    ]


def _glance(result: Comparison) -> tuple[Figure, ...]:
    metric = measures(result.unit, result.larger_is_better)[0]
    return glance(
        sweep({row.optimizer: row.candidates for row in result.rows}, metric),
        curves(
            {row.optimizer: Course(row.finals, row.milliseconds) for row in result.rows}, metric, result.judged.target
        ),
        metric.name,
        ("Colors as in the standings below; a cross is a run that failed.", "Each at its best, on fresh seeds."),
    )


def _standings(result: Comparison) -> str:
    unit, ends = result.unit, span(result.judged)
    rows = []
    for index, row in enumerate(result.rows):
        said, gap = status(row, index == 0), row.judgement.difference if row.judgement else None
        figure = whisker(gap.mean, gap.low, gap.high, result.judged.margin, ends, said) if gap else ""
        difference = unit.gap(gap.mean, gap.half) if gap else ""
        edge = ' <span class="soft">(edge)</span>' if row.on_edge else ""
        cells = (
            named(row.optimizer, index),
            verdict(said) + _why(row),
            escape(unit.interval(row.test)),
            escape(difference),
            figure,
            escape(in_words(row.settings)) + edge,
        )
        rows.append(cells)
    headings = ("optimizer", "verdict", f"test {unit.name}", unit.gap_name, "", "configuration")
    return f"<h2>The standings</h2>{table([escape(text) for text in headings], rows, (2, 3), 'standings')}"


def _why(row: Row) -> str:
    """What became of the fresh seeds that failed."""
    kinds = dict.fromkeys(str(trial.status) for trial in row.finals if trial.failed)
    return f' <span class="soft">{escape(", ".join(kinds))}</span>' if kinds else ""


def _sweep(result: Comparison) -> Screen:
    searched = {row.optimizer: row.candidates for row in result.rows}
    figures = tuple(
        Figure(f"sweep-{measure.of}", sweep(searched, measure), f"Validation {measure.name} by learning rate")
        for measure in measures(result.unit, result.larger_is_better)
    )
    rows = [
        (
            named(row.optimizer, index),
            escape(in_words(row.settings)),
            escape(in_words(row.candidates[0].settings)),
            escape(" to ".join(dict.fromkeys(map(rate, row.as_good))) if row.as_good else "none"),
            escape(decades(row)),
            escape(rate(row.highest_stable)),
            escape(failures((trial for candidate in row.candidates for trial in candidate.trials), row.searched)),
        )
        for index, row in enumerate(result.rows)
    ]
    headings = ("optimizer", "best configuration", "its default", "equivalent lr", "decades", "stable to lr", "failed")
    return Screen(
        "sweep",
        "Sweep",
        [
            "<h2>What each configuration ends at</h2><p>A dot is one run, the line goes through the median of the "
            "seeds, the ring marks the optimizer's default, a cross at the bad edge is a run that failed. "
            "The axes show the good end; point at a name to see it alone.</p>",
            figures,
            f'<div class="block">{table(headings, rows, numbers=(4, 5, 6))}</div>',
        ],
        chips=True,
    )


def _curves(result: Comparison) -> Screen:
    courses = {row.optimizer: Course(row.finals, row.milliseconds) for row in result.rows}
    target = result.judged.target
    figures = tuple(
        Figure(
            f"curves-{measure.of}",
            curves(courses, measure, target if measure.of == "metric" else math.nan),
            f"Validation {measure.name}",
        )
        for measure in measures(result.unit, result.larger_is_better)
    )
    timed = any(math.isfinite(row.milliseconds) for row in result.rows)
    seconds = " Seconds are steps times what a step takes, measured alone." if timed else ""
    return Screen(
        "curves",
        "Curves",
        [
            "<h2>The finalists on fresh seeds</h2><p>Each optimizer at its best configuration: the median of the "
            f"seeds, in a band from the worst to the best. The dashed line is the target.{seconds}</p>",
            switch(timed),
            figures,
            *_paths(result),
        ],
        chips=True,
    )


def _paths(result: Comparison) -> list[Part]:
    """The recorded runs on a slice of the loss, where the study has them."""
    try:
        made = result.landscape()
    except StudyError:  # it has none, or a damaged one
        return []
    order = [row.optimizer for row in result.rows]
    runs = made.slices[0].runs
    if not {run.name for run in runs} <= set(order):
        return []
    shares = ", ".join(f"{run.name} {run.total:.0%}" for run in runs)
    return [
        Figure(
            "paths",
            paths_figure(made.slices[0], order),
            "The finalists' ways over the training loss",
            f"On the plane in which their checkpoints differ most; {made.title}. A piece is as opaque as the "
            f"share of it that lies in the plane. Of the whole way that is: {shares}. More slices: thalweg play.",
        )
    ]


def _robustness(result: Comparison) -> Screen:
    unit, larger = result.unit, result.larger_is_better
    target = unit.value(result.judged.target)
    metric = measures(unit, larger)[0]
    parts: list[Part] = []
    if len(result.rows) > 1:
        parts.append(
            Figure(
                "forest",
                forest(result.judged, unit, larger),
                "Paired differences",
                f"Test {unit.name} minus the leader's, seed by seed, with 95 % intervals. In the gray band a "
                "difference does not matter. Blue: equivalent; red: worse; green: better; gray: undecided.",
            )
        )
    parts += [
        (
            Figure(
                "sensitivity",
                sensitivity(result.rows),
                "Sensitivity to the learning rate",
                "Thin: what was tried. Thick: what ends within 5 % of the best, or one seed deviation. A dot is the "
                "best, a ring the default, a cross a failure.",
            ),
            Figure(
                "reach",
                reach(result.rows, result.judged.target, larger),
                f"Steps to {target}",
                "Which is what the median default ends at. Every fresh seed is a dot, the bar their median, a cross "
                "a seed that never got there.",
            ),
        ),
        _targets(result),
    ]
    if any(row.best_of for row in result.rows):
        parts.append(
            Figure(
                "best-of",
                best_of_figure(result.rows, metric),
                "Expected best of k configurations",
                f"The validation {unit.name} that a search of only k configurations would have found; point at a "
                "name for the band that holds the middle 80 % of such searches.",
            )
        )
    lead = "<h2>How far to trust it</h2><p>How sure the differences are, and how each optimizer takes a bad guess.</p>"
    return Screen("robustness", "Robustness", [lead, *parts], chips=True)


def _targets(result: Comparison) -> str:
    rows = [
        (
            named(row.optimizer, index),
            f"{row.hits} of {len(row.finals)}",
            f"{row.steps_to_target:.0f}" if math.isfinite(row.steps_to_target) else "never",
            "" if math.isnan(row.milliseconds) else f"{row.milliseconds:.3g}",
            _seconds(row),
            escape(decades(row)),
        )
        for index, row in enumerate(result.rows)
    ]
    headings = ("optimizer", "seeds that got there", "median steps", "ms a step", "seconds to target", "decades of lr")
    return f'<div class="block">{table(headings, rows, numbers=(1, 2, 3, 4, 5))}</div>'


def _seconds(row: Row) -> str:
    if math.isnan(row.seconds_to_target):
        return ""
    return f"{row.seconds_to_target:.3g}" if math.isfinite(row.seconds_to_target) else "never"
