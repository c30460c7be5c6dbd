"""The report of a range test: the climb, the interval, the small sweep that checks it, the trials."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from thalweg.lab.judging.wording import rate
from thalweg.lab.report import answer, trials
from thalweg.lab.report.axis_choice import switch
from thalweg.lab.report.figures.climb import climb, shade
from thalweg.lab.report.figures.curves import Course, curves
from thalweg.lab.report.figures.measure import Measure, measures
from thalweg.lab.report.figures.sweep import sweep
from thalweg.lab.report.markup import legend, table
from thalweg.lab.report.page import Figure, Page, Part, Screen

if TYPE_CHECKING:
    from thalweg.lab.results.range_test import RangeTest


def page(found: RangeTest) -> Page:
    """All screens of a range test."""
    task = found.spec["task"]["name"]
    return Page(
        title=f"{task}: the learning rates of {found.optimizer}",
        about=f"Which learning rates can {found.optimizer} use on {task}?",
        screens=[
            answer.screen(found.verdict, found.line, _facts(found), [_table(found)], found.notes),
            _range(found),
            _check(found),
            _curves(found),
            trials.screen(found.trials, found.unit, found.spec, found.versions),
        ],
    )


def _facts(found: RangeTest) -> list[tuple[str, str, str]]:
    seen = sum(ascent.turn == ascent.turn for ascent in found.ascents)
    interval = f"{rate(found.interval[0])} to {rate(found.interval[1])}" if found.interval else "none"
    good = " to ".join(dict.fromkeys(map(rate, found.as_good))) if found.as_good else "none"
    return [
        ("Interval", interval, f"{seen} of {len(found.ascents)} seeds saw the loss fall"),
        ("Checked by a sweep", "agrees" if found.agrees else "does not agree", f"as good there: {good}"),
        *([("Best lr", rate(found.best.rate), found.unit.value(found.best.metric))] if found.best else []),
        answer.price(found.trials, found.versions),
    ]


def _table(found: RangeTest) -> str:
    headings, rows = found.cells()
    cells = [[escape(cell) for cell in row] for row in rows]
    return f"<h2>The sweep that checks it</h2>{table([escape(text) for text in headings], cells, (2,), 'standings')}"


def _range(found: RangeTest) -> Screen:
    seeds = [f"seed {ascent.seed}" for ascent in found.ascents]
    drawn = climb(found.ascents, found.interval, Measure("loss", found.unit, False))
    lead = (
        "<h2>The loss while the learning rate grows</h2><p>One training a seed, the learning rate higher at each "
        "step. Thin: each step; thick: smoothed. A triangle marks where the loss falls fastest, a square where it "
        "turns up; their medians are the ends of the interval, shaded.</p>"
    )
    return Screen("range", "Range", [lead, legend(seeds), Figure("climb", drawn, "Training loss by learning rate")])


def _check(found: RangeTest) -> Screen:
    figures = []
    for measure in measures(found.unit, found.larger_is_better):
        drawn = sweep({found.optimizer: found.rows}, measure)
        shade(drawn, found.interval)
        figures.append(Figure(f"sweep-{measure.of}", drawn, f"Validation {measure.name} by learning rate"))
    lead = (
        "<h2>Does a sweep agree?</h2><p>Trained in full at learning rates in the interval and just outside of it. "
        "A dot is one seed, the ring the default, a cross a training that failed; the interval is shaded.</p>"
    )
    return Screen("check", "Check", [lead, tuple(figures)])


def _curves(found: RangeTest) -> Screen:
    courses = {
        f"lr {rate(candidate.rate)}": Course(candidate.trials)
        for candidate in found.rows
        if candidate.failed < len(candidate.trials)
    }
    figures = tuple(
        Figure(f"curves-{measure.of}", curves(courses, measure, ramped=True), f"Validation {measure.name}")
        for measure in measures(found.unit, found.larger_is_better)
    )
    lead = "<h2>How the sweep trains</h2><p>The median of the seeds, in a band from the worst to the best.</p>"
    parts: list[Part] = [lead, switch(timed=False), legend(list(courses)), figures]
    return Screen("curves", "Curves", parts)
