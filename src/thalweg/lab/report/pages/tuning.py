"""The report of a tuning: tuned against default, every hyperparameter, how the search went on, the trials."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from thalweg.lab.arguments import several
from thalweg.lab.judging.wording.numbers import subject
from thalweg.lab.report import answer, trials
from thalweg.lab.report.axis_choice import switch
from thalweg.lab.report.configuration import in_words
from thalweg.lab.report.figures.curves import Course, curves
from thalweg.lab.report.figures.history import history
from thalweg.lab.report.figures.hyperparameter import hyperparameter
from thalweg.lab.report.figures.measure import measures
from thalweg.lab.report.glance import glance
from thalweg.lab.report.markup import table, verdict, whisker
from thalweg.lab.report.page import Figure, Page, Part, Screen
from thalweg.lab.search.configurations import Candidate

if TYPE_CHECKING:
    from thalweg.lab.results.tuning import Tuning


def page(result: Tuning) -> Page:
    """All screens of a tuning."""
    task = result.spec["task"]["name"]
    pair = ["tuned", "default"] if result.tuned is not result.default else ["default"]
    return Page(
        title=f"{subject(result.optimizer, task)}, tuned",
        about=f"Which configuration of {subject(result.optimizer, task)}?",
        screens=[
            answer.screen(
                result.verdict, result.line, _facts(result), [_glance(result), _finalists(result)], result.notes
            ),
            _hyperparameters(result),
            _search(result),
            _curves(result),
            trials.screen(result.trials, result.unit, result.spec, result.versions),
        ],
        names=pair,
    )


def _facts(result: Tuning) -> list[tuple[str, str, str]]:
    unit = result.unit
    seeds = f"{unit.test}, {several(len(result.default.trials), 'fresh seed')}"
    known = [("Default", unit.interval(result.interval(result.default)), seeds)]
    if result.tuned is not result.default:
        known.insert(0, ("Tuned", unit.interval(result.interval(result.tuned)), seeds))
    if result.judgement:
        gap = result.judgement.difference
        known.append(("Difference", unit.gap(gap.mean, gap.half), result.judgement.verdict))
    what, spent, small = answer.price(result.trials, result.versions)
    return [
        *known,
        (what, spent, f"{small}, {several(result.tried, 'configuration')} by {result.method}"),
    ]


def _glance(result: Tuning) -> tuple[Figure, ...]:
    metric, (name, searched) = (
        measures(result.unit, result.larger_is_better)[0],
        next(iter(result.hyperparameters.items())),
    )
    drawn = _by_value(result, name, searched)[0]
    about = ("Blue is the tuned setting, a ring the default, a cross a run that failed.", "On fresh seeds.")
    return glance(drawn, curves(_courses(result), metric), metric.name, about, rate=name)


def _finalists(result: Tuning) -> str:
    """What went on to fresh seeds, the tuned setting first, the default last."""
    order = sorted(result.finals.values(), key=lambda p: (p.index == 0, p.index != result.tuned.index, p.index))
    rows = [
        (
            escape(_role(result, candidate)),
            escape(result.unit.value(candidate.metric)),
            escape(result.unit.interval(result.interval(candidate))),
            *_gap(result, candidate),
            escape(in_words(candidate.settings, candidate.trials[0].batch_size)),
        )
        for candidate in order
    ]
    unit = escape(result.unit.name)
    headings = ("", f"validation {unit}", f"test {unit}", "against the default", "", "verdict", "setting")
    return f"<h2>On fresh seeds</h2>{table(headings, rows, (1, 2, 3), 'standings')}"


def _role(result: Tuning, candidate: Candidate) -> str:
    return "default" if candidate.index == 0 else "tuned" if candidate.index == result.tuned.index else "finalist"


def _gap(result: Tuning, candidate: Candidate) -> tuple[str, str, str]:
    if result.judgement is None or candidate.index != result.tuned.index:
        return "", "", ""
    gap = result.judgement.difference
    known = [
        end for end in (gap.mean, gap.low, gap.high, 1.5 * result.margin, -1.5 * result.margin) if math.isfinite(end)
    ]
    ends = (1.06 * min(known), 1.06 * max(known)) if max(known) > min(known) else (-1.0, 1.0)
    drawn = whisker(gap.mean, gap.low, gap.high, result.margin, ends, result.judgement.verdict)
    return escape(result.unit.gap(gap.mean, gap.half)), drawn, verdict(result.judgement.verdict)


def _hyperparameters(result: Tuning) -> Screen:
    figures = []
    for place, (name, searched) in enumerate(result.hyperparameters.items()):
        drawn, away = _by_value(result, name, searched)
        figures.append(Figure(f"hyperparameter-{place}", drawn, name, away))
    lead = (
        "<h2>What each hyperparameter does</h2><p>Every run of the search by the value of one hyperparameter; "
        "the others differ from dot to dot. Blue is the tuned setting, a ring the default, a cross at the bad edge "
        "a run that failed.</p>"
    )
    return Screen("hyperparameters", "Hyperparameters", [lead, tuple(figures)])


def _by_value(result: Tuning, name: str, searched: Mapping[str, Any]) -> tuple[Any, str]:
    """A figure of the search by the values of one hyperparameter, and what it cannot show."""
    metric = measures(result.unit, result.larger_is_better)[0]
    candidates = result.candidates[result.optimizer]
    turned = bool(searched.get("complement"))
    values = {p.index: result.values(p)[name] for p in candidates if name in result.values(p)}
    options = searched.get("options", [])
    if options:  # by their place
        values = {index: options.index(value) + 1 for index, value in values.items() if value in options}
    if turned:
        values = {index: 1 - value for index, value in values.items()}
    named = ", ".join(f"{place} = {option}" for place, option in enumerate(options, 1))
    label = f"1 - {name}" if turned else f"{name}: {named}" if options else name
    log = not (options or searched.get("linear"))
    drawn = hyperparameter(candidates, values, label, metric, result.tuned.index, log)
    away = "The default has no place on this axis: it is 0." if values.get(0) == 0 and log else ""
    return drawn, away


def _search(result: Tuning) -> Screen:
    metric = measures(result.unit, result.larger_is_better)[0]
    candidates = result.candidates[result.optimizer]
    drawn = history(candidates, [best for _, best in result.history], metric)
    headings, rows = result.cells()
    cells = [[escape(cell) for cell in row] for row in rows]
    figure = Figure(
        "history", drawn, "The best so far", "A dot is a setting, in the order of trial; the first is the default."
    )
    times, ended, bests = zip(*result.spent, strict=True)
    timed = Figure(
        "history-seconds",
        history(ended, bests, metric, times),
        "The best so far by time",
        "Seconds of all runs of the search, added up, with those that failed or were given up; side by side they take "
        "less by the clock.",
    )
    best = table([escape(text) for text in headings], cells, range(len(headings) - 1))
    parts: list[Part] = [
        "<h2>How the search went on</h2>",
        (figure, timed),
        f'<div class="block"><h3>The best of it</h3>{best}</div>',
    ]
    return Screen("search", "Search", parts)


def _curves(result: Tuning) -> Screen:
    courses = _courses(result)
    figures = tuple(
        Figure(f"curves-{measure.of}", curves(courses, measure), f"Validation {measure.name}")
        for measure in measures(result.unit, result.larger_is_better)
    )
    lead = (
        "<h2>Tuned and default on fresh seeds</h2><p>The median of the seeds, in a band from the worst to the best.</p>"
    )
    return Screen("curves", "Curves", [lead, switch(timed=False), figures], chips=True)


def _courses(result: Tuning) -> dict[str, Course]:
    courses = {"tuned": Course(result.tuned.trials), "default": Course(result.default.trials)}
    if result.tuned is result.default:
        del courses["tuned"]
    return courses
