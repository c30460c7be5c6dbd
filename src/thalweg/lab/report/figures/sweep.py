"""The sweep: what each learning rate ends at on validation, a line an optimizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from thalweg.lab.report.configuration import in_words
from thalweg.lab.report.figures.axes import bad_edge, hover, valued
from thalweg.lab.report.figures.highlight import Columns
from thalweg.lab.report.figures.measure import Measure, line_of, short, shorts
from thalweg.lab.report.figures.palette import FEW, GREY
from thalweg.lab.search.configurations import Candidate

Searched = Mapping[str, Sequence[Candidate]]


def sweep(searched: Searched, measure: Measure, hyperparameter: str = "learning rate") -> Any:
    """Median line, band from the worst seed to the best, every seed a dot, x what failed, a ring the default."""
    values = [
        measure.value(trial)
        for candidates in searched.values()
        for candidate in candidates
        for trial in candidate.trials
    ]
    figure = valued(hyperparameter, measure, values, log_x=True)
    _lines(figure, searched, measure)
    _dots(figure, searched, measure)
    _crosses(figure, searched, measure)
    return figure


def _lines(figure: Any, searched: Searched, measure: Measure) -> None:
    columns = Columns(list(searched), "xs", "ys", "band_x", "band_y")
    for name, candidates in searched.items():
        line = line_of(candidates, measure)
        rates = shorts([rate for rate, _ in line])
        low, high = ([short(end(values)) for _, values in line] for end in (min, max))
        several = any(len(values) > 1 for _, values in line)
        columns.add(
            name,
            xs=rates,
            ys=[short(median(values)) for _, values in line],
            band_x=rates + rates[::-1] if several else [],
            band_y=high + low[::-1] if several else [],
        )
    data, view = columns.source(), columns.picked()
    figure.multi_line("xs", "ys", source=data, line_color=GREY, line_alpha=0.22)
    figure.patches("band_x", "band_y", source=data, color="color", alpha=0.13, line_width=0, **columns.picked(most=FEW))
    figure.multi_line("xs", "ys", source=data, line_color="color", line_dash="dash", line_width=2, **view)


def _dots(figure: Any, searched: Searched, measure: Measure) -> None:
    columns = Columns(list(searched), "x", "y", "ring", "setting", "seed", "note")
    for name, candidates in searched.items():
        for candidate in candidates:
            for trial in (t for t in candidate.trials if t.done and candidate.rate > 0):
                columns.add(
                    name,
                    x=short(candidate.rate),
                    y=short(measure.value(trial)),
                    ring=14 if candidate.index == 0 else 0,
                    setting=in_words(trial.settings, trial.batch_size),
                    seed=trial.seed,
                    note="its default" if candidate.index == 0 else "",
                )
    data, view = columns.source(), columns.picked()
    ring = {"marker": "diamond", "size": "ring", "fill_color": None, "line_color": "color", "line_width": 1.8}
    figure.scatter("x", "y", source=data, **ring, **view)
    dots = figure.scatter("x", "y", source=data, size=6, color="color", hover_line_color="color", **view)
    reading = (("setting", "@setting"), (measure.name, "@y"), ("seed", "@seed"), ("", "@note"))
    hover(figure, dots, "@name", *reading)


def _crosses(figure: Any, searched: Searched, measure: Measure) -> None:
    columns = Columns(list(searched), "x", "y", "setting", "what")
    for position, (name, candidates) in enumerate(searched.items()):
        y = bad_edge(figure, position, len(searched), measure.larger_is_better)
        for candidate in (p for p in candidates if p.failed and p.rate > 0):
            failed = next(trial for trial in candidate.trials if trial.failed)
            columns.add(
                name,
                x=short(candidate.rate),
                y=short(y),
                setting=in_words(candidate.settings, failed.batch_size),
                what=f"{failed.status} on {candidate.failed} of {len(candidate.trials)}",
            )
    look = {"marker": "x", "size": 9, "line_color": "color", "line_width": 2}
    crosses = figure.scatter("x", "y", source=columns.source(), **look, **columns.picked())
    hover(figure, crosses, "@name", ("setting", "@setting"), ("", "@what"))
