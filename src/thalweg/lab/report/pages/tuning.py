"""The report of a tuning: tuned against default, every knob, how the search went on, the trials."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from thalweg.lab.report import answer, trials
from thalweg.lab.report.axis_choice import switch
from thalweg.lab.report.configuration import in_words
from thalweg.lab.report.figures.curves import Course, curves
from thalweg.lab.report.figures.history import history
from thalweg.lab.report.figures.hyperparameter import hyperparameter
from thalweg.lab.report.figures.measure import measures
from thalweg.lab.report.markup import table, verdict, whisker
from thalweg.lab.report.page import Figure, Page, Part, Screen
from thalweg.lab.search.configurations import Candidate

if TYPE_CHECKING:
    from thalweg.lab.results.tuning import Tuning


def page(found: Tuning) -> Page:
    """All screens of a tuning."""
    task = found.spec["task"]["name"]
    pair = ["tuned", "default"] if found.tuned is not found.default else ["default"]
    return Page(
        title=f"{task}: {found.optimizer} tuned",
        about=f"Which setting of {found.optimizer} for {task}?",
        screens=[
            answer.screen(found.verdict, found.line, _facts(found), [_finalists(found)], found.notes),
            _hyperparameters(found),
            _search(found),
            _curves(found),
            trials.screen(found.trials, found.unit, found.spec, found.versions),
        ],
        names=pair,
    )


def _facts(found: Tuning) -> list[tuple[str, str, str]]:
    unit, settings = found.unit, found.spec["protocol"]["trials"]
    seeds = f"test {unit.name}, {len(found.default.trials)} fresh seeds"
    known = [("Default", unit.interval(found.interval(found.default)), seeds)]
    if found.tuned is not found.default:
        known.insert(0, ("Tuned", unit.interval(found.interval(found.tuned)), seeds))
    if found.judgement:
        gap = found.judgement.difference
        known.append(("Difference", unit.gap(gap.mean, gap.half), found.judgement.verdict))
    what, spent, small = answer.price(found.trials, found.versions)
    return [*known, (what, spent, f"{small}, {settings} settings by {found.spec['protocol']['method']}")]


def _finalists(found: Tuning) -> str:
    """What went on to fresh seeds, the tuned setting first, the default last."""
    order = sorted(found.finals.values(), key=lambda p: (p.index == 0, p.index != found.tuned.index, p.index))
    rows = [
        (
            escape(_role(found, candidate)),
            escape(found.unit.value(candidate.metric)),
            escape(found.unit.interval(found.interval(candidate))),
            *_gap(found, candidate),
            escape(in_words(candidate.settings, candidate.trials[0].batch_size)),
        )
        for candidate in order
    ]
    unit = escape(found.unit.name)
    headings = ("", f"validation {unit}", f"test {unit}", "against the default", "", "verdict", "setting")
    return f"<h2>On fresh seeds</h2>{table(headings, rows, (1, 2, 3), 'standings')}"


def _role(found: Tuning, candidate: Candidate) -> str:
    return "default" if candidate.index == 0 else "tuned" if candidate.index == found.tuned.index else "finalist"


def _gap(found: Tuning, candidate: Candidate) -> tuple[str, str, str]:
    if found.judgement is None or candidate.index != found.tuned.index:
        return "", "", ""
    gap = found.judgement.difference
    known = [
        end for end in (gap.mean, gap.low, gap.high, 1.5 * found.margin, -1.5 * found.margin) if math.isfinite(end)
    ]
    ends = (1.06 * min(known), 1.06 * max(known)) if max(known) > min(known) else (-1.0, 1.0)
    drawn = whisker(gap.mean, gap.low, gap.high, found.margin, ends, found.judgement.verdict)
    return escape(found.unit.gap(gap.mean, gap.half)), drawn, verdict(found.judgement.verdict)


def _hyperparameters(found: Tuning) -> Screen:
    metric = measures(found.unit, found.larger_is_better)[0]
    tried = found.tried[found.optimizer]
    figures: list[Figure] = []
    for name, searched in found.hyperparameters.items():
        turned = bool(searched.get("complement"))
        values = {p.index: found.values(p)[name] for p in tried if name in found.values(p)}
        if turned:
            values = {index: 1 - value for index, value in values.items()}
        label = f"1 - {name}" if turned else name
        drawn = hyperparameter(tried, values, label, metric, found.tuned.index)
        away = "The default has no place on this axis: it is 0." if values.get(0) == 0 else ""
        figures.append(Figure(f"knob-{len(figures)}", drawn, name, away))
    lead = (
        "<h2>What each knob does</h2><p>Every training of the search by the value of one knob; the others differ from "
        "dot to dot. Blue is the tuned setting, a ring the default, a cross at the bad edge a training that failed.</p>"
    )
    return Screen("hyperparameters", "Knobs", [lead, tuple(figures)])


def _search(found: Tuning) -> Screen:
    metric = measures(found.unit, found.larger_is_better)[0]
    tried = found.tried[found.optimizer]
    drawn = history(tried, [best for _, best in found.history], metric)
    headings, rows = found.cells()
    cells = [[escape(cell) for cell in row] for row in rows]
    figure = Figure(
        "history", drawn, "The best so far", "A dot is a setting, in the order of trial; the first is the default."
    )
    best = table([escape(text) for text in headings], cells, range(len(headings) - 1))
    parts: list[Part] = [
        "<h2>How the search went on</h2>",
        figure,
        f'<div class="block"><h3>The best of it</h3>{best}</div>',
    ]
    return Screen("search", "Search", parts)


def _curves(found: Tuning) -> Screen:
    courses = {"tuned": Course(found.tuned.trials), "default": Course(found.default.trials)}
    if found.tuned is found.default:
        del courses["tuned"]
    figures = tuple(
        Figure(f"curves-{measure.of}", curves(courses, measure), f"Validation {measure.name}")
        for measure in measures(found.unit, found.larger_is_better)
    )
    lead = (
        "<h2>Tuned and default on fresh seeds</h2><p>The median of the seeds, in a band from the worst to the best.</p>"
    )
    return Screen("curves", "Curves", [lead, switch(timed=False), figures], chips=True)
