"""The report of a range test: the climb, the interval, the small sweep that checks it, the trials."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from thalweg.lab.arguments import several
from thalweg.lab.judging.wording import rate
from thalweg.lab.report import answer, trials
from thalweg.lab.report.axis_choice import switch
from thalweg.lab.report.figures.climb import climb, shade
from thalweg.lab.report.figures.curves import Course, curves
from thalweg.lab.report.figures.measure import Measure, measures
from thalweg.lab.report.figures.sweep import sweep
from thalweg.lab.report.glance import glance
from thalweg.lab.report.markup import legend, table
from thalweg.lab.report.page import Figure, Page, Part, Screen

if TYPE_CHECKING:
    from thalweg.lab.results.range_test import RangeTest


def page(result: RangeTest) -> Page:
    """All screens of a range test."""
    task = result.spec["task"]["name"]
    return Page(
        title=f"{task}: the learning rates of {result.optimizer}",
        about=f"Which learning rates can {result.optimizer} use on {task}?",
        screens=[
            answer.screen(
                result.verdict, result.line, _facts(result), [*_glance(result), _table(result)], result.notes
            ),
            _range(result),
            _check(result),
            _curves(result),
            trials.screen(result.trials, result.unit, result.spec, result.versions),
        ],
    )


def _facts(result: RangeTest) -> list[tuple[str, str, str]]:
    seen = sum(ascent.turn == ascent.turn for ascent in result.ascents)
    interval = f"{rate(result.interval[0])} to {rate(result.interval[1])}" if result.interval else "none"
    good = " to ".join(dict.fromkeys(map(rate, result.as_good))) if result.as_good else "none"
    return [
        ("Interval", interval, f"{seen} of {several(len(result.ascents), 'seed')} saw the loss fall"),
        ("Checked by a sweep", "agrees" if result.agrees else "does not agree", f"equivalent there: {good}"),
        *([("Best lr", rate(result.best.rate), result.unit.value(result.best.metric))] if result.best else []),
        answer.price(result.trials, result.versions),
    ]


def _table(result: RangeTest) -> str:
    headings, rows = result.cells()
    cells = [[escape(cell) for cell in row] for row in rows]
    return f"<h2>The sweep that checks it</h2>{table([escape(text) for text in headings], cells, (2,), 'standings')}"


def _glance(result: RangeTest) -> list[Part]:
    """Nothing where no run of the sweep ended."""
    courses, metric = _courses(result), measures(result.unit, result.larger_is_better)[0]
    if not courses:
        return []
    by_rate = sweep({result.optimizer: result.rows}, metric)
    shade(by_rate, result.interval)
    about = ("The interval is shaded; a cross is a run that failed.", "Low rates in blue, high ones in red.")
    return [glance(by_rate, curves(courses, metric, ramped=True), metric.name, about)]


def _range(result: RangeTest) -> Screen:
    seeds = [f"seed {ascent.seed}" for ascent in result.ascents]
    figure = climb(result.ascents, result.interval, Measure("loss", result.unit, False))
    lead = (
        "<h2>The loss while the learning rate grows</h2><p>One run a seed, the learning rate higher at each "
        "step. Thin: each step; thick: smoothed. A triangle marks where the loss falls fastest, a square where it "
        "turns up; their medians are the ends of the interval, shaded.</p>"
    )
    return Screen("range", "Range", [lead, legend(seeds), Figure("climb", figure, "Training loss by learning rate")])


def _check(result: RangeTest) -> Screen:
    figures = []
    for measure in measures(result.unit, result.larger_is_better):
        figure = sweep({result.optimizer: result.rows}, measure)
        shade(figure, result.interval)
        figures.append(Figure(f"sweep-{measure.of}", figure, f"Validation {measure.name} by learning rate"))
    lead = (
        "<h2>Does a sweep agree?</h2><p>Trained in full at learning rates in the interval and just outside of it. "
        "A dot is one seed, the ring the default, a cross a run that failed; the interval is shaded.</p>"
    )
    return Screen("check", "Check", [lead, tuple(figures)])


def _courses(result: RangeTest) -> dict[str, Course]:
    return {
        f"lr {rate(candidate.rate)}": Course(candidate.trials)
        for candidate in result.rows
        if candidate.failed < len(candidate.trials)
    }


def _curves(result: RangeTest) -> Screen:
    courses = _courses(result)
    figures = tuple(
        Figure(f"curves-{measure.of}", curves(courses, measure, ramped=True), f"Validation {measure.name}")
        for measure in measures(result.unit, result.larger_is_better)
    )
    lead = "<h2>How the sweep trains</h2><p>The median of the seeds, in a band from the worst to the best.</p>"
    parts: list[Part] = [lead, switch(timed=False), legend(list(courses)), figures]
    return Screen("curves", "Curves", parts)
