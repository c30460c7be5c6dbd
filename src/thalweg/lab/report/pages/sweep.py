"""The report of a sweep: the answer, what each learning rate ends at, its curves, the trials."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from thalweg.lab.judging.wording import rate
from thalweg.lab.judging.wording.numbers import subject
from thalweg.lab.report import answer, trials
from thalweg.lab.report.axis_choice import switch
from thalweg.lab.report.configuration import failures
from thalweg.lab.report.figures.curves import Course, curves
from thalweg.lab.report.figures.measure import measures
from thalweg.lab.report.figures.sweep import sweep
from thalweg.lab.report.glance import glance
from thalweg.lab.report.markup import legend, named, table
from thalweg.lab.report.page import Figure, Page, Part, Screen

if TYPE_CHECKING:
    from thalweg.lab.results.sweep import Sweep, SweepRow

DRAWN = 6  # optimizers whose curves are drawn, the best first: each takes two figures


def page(result: Sweep) -> Page:
    """All screens of a sweep."""
    task, names = result.spec["task"]["name"], [row.optimizer for row in result.rows]
    whose = names[0] if len(names) == 1 else f"{len(names)} optimizers"
    return Page(
        title=f"{task}: which learning rate?",
        about=f"Which learning rate for {subject(whose, task)}?",
        screens=[
            answer.screen(
                result.verdict, result.line, _facts(result), [*_glance(result), _table(result)], result.notes
            ),
            _sweep(result),
            _curves(result),
            trials.screen(result.trials, result.unit, result.spec, result.versions),
        ],
        names=names,
    )


def _facts(result: Sweep) -> list[tuple[str, str, str]]:
    row = result.rows[0]
    if row.failed:
        return [answer.price(result.trials, result.versions)]
    good = " to ".join(dict.fromkeys(map(rate, row.as_good))) if row.as_good else "none"
    stable = f"failing from {rate(row.fails_from)} on" if row.fails_from == row.fails_from else "none failed above"
    return [
        (f"Best lr of {row.optimizer}", rate(row.best.rate), result.unit.interval(row.value)),
        ("Equivalent learning rates", good, f"its default is {rate(row.default.rate)}"),
        ("Stable up to", rate(row.highest_stable), stable),
        answer.price(result.trials, result.versions),
    ]


def _glance(result: Sweep) -> list[Part]:
    """Of the best optimizer the curves; nothing where all of its runs failed."""
    best = result.rows[0]
    if best.failed:
        return []
    metric = measures(result.unit, result.larger_is_better)[0]
    by_rate = sweep({row.optimizer: row.candidates for row in result.rows}, metric)
    about = ("A cross is a run that failed.", f"{best.optimizer}, its low rates in blue, the high ones in red.")
    return [glance(by_rate, curves(courses_of(best), metric, ramped=True), metric.name, about)]


def _table(result: Sweep) -> str:
    headings, rows = result.cells()
    told = headings.index("failed")
    for row, shown in zip(result.rows, rows, strict=True):
        trials = [trial for candidate in row.candidates for trial in candidate.trials]
        shown[told] = failures(trials, len(trials))
    cells = [[named(name, index), *map(escape, rest)] for index, (name, *rest) in enumerate(rows)]
    return f"<h2>Each optimizer</h2>{table([escape(text) for text in headings], cells, range(1, len(headings)))}"


def _sweep(result: Sweep) -> Screen:
    searched = {row.optimizer: row.candidates for row in result.rows}
    figures = tuple(
        Figure(f"sweep-{measure.of}", sweep(searched, measure), f"Validation {measure.name} by learning rate")
        for measure in measures(result.unit, result.larger_is_better)
    )
    return Screen(
        "sweep",
        "Sweep",
        [
            "<h2>What each learning rate ends at</h2><p>A dot is one seed, the line goes through their median, the "
            "band from the worst to the best. The ring marks the optimizer's default, a cross a run that "
            "failed. The axes show the good end.</p>",
            figures,
        ],
        chips=True,
    )


def _curves(result: Sweep) -> Screen:
    parts: list[Part] = [
        "<h2>How each learning rate trains</h2><p>The median of the seeds, in a band from the worst to the best. "
        "Runs that failed are among the trials.</p>",
        switch(timed=False),
    ]
    for index, row in enumerate(result.rows[:DRAWN]):
        courses = courses_of(row)
        parts += [
            f"<h3>{named(row.optimizer, index)}</h3>" if len(result.rows) > 1 else "",
            legend(list(courses)),
            tuple(
                Figure(
                    f"curves-{index}-{measure.of}", curves(courses, measure, ramped=True), f"Validation {measure.name}"
                )
                for measure in measures(result.unit, result.larger_is_better)
            ),
        ]
    if len(result.rows) > DRAWN:
        parts.append(f"<p>Of the {len(result.rows)} optimizers the best {DRAWN} are drawn.</p>")
    return Screen("curves", "Curves", parts)


def courses_of(row: SweepRow) -> dict[str, Course]:
    """A course for each learning rate at which a seed finished, low to high."""
    rising = sorted(
        (candidate for candidate in row.candidates if candidate.failed < len(candidate.trials)), key=lambda p: p.rate
    )
    return {f"lr {rate(candidate.rate)}": Course(candidate.trials) for candidate in rising}
