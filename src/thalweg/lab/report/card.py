"""A result in a notebook: the sentence, the line to paste, a drawing of the sweep, the table; no script."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from statistics import median
from typing import TYPE_CHECKING

from thalweg.lab.judging.wording import rate
from thalweg.lab.report.figures.measure import Measure, good_end, line_of, measures
from thalweg.lab.report.figures.palette import colour
from thalweg.lab.report.markup import sentences
from thalweg.lab.search.configurations import Candidate

if TYPE_CHECKING:
    from thalweg.lab.results import Result

ROWS = 10  # of the table; the report has them all
LINES = 8  # of the drawing: one a colour
WIDTH, HEIGHT, LEFT, BOTTOM = 460, 190, 46, 34  # of the drawing, in pixels
CELL = 'style="text-align:left;padding:3px 14px 3px 0;white-space:nowrap"'


def card(found: Result) -> str:
    """HTML that is readable in a light notebook and in a dark one: all ink is the notebook's own."""
    head, rest = sentences(found.verdict)
    line = f'<pre style="margin:8px 0;white-space:pre-wrap">{escape(found.line)}</pre>' if found.line else ""
    return (
        f'<div style="max-width:900px"><p style="margin:4px 0;font-size:1.15em"><b>{escape(head)}</b></p>'
        f'<p style="margin:4px 0">{escape(rest)}</p>{line}'
        f"{drawing(_best_first(found), measures(found.unit, found.larger_is_better)[0])}{_table(found)}</div>"
    )


def drawing(searched: Mapping[str, Sequence[Candidate]], measure: Measure) -> str:
    """The sweep as a small SVG; nothing where fewer than two learning rates ended."""
    lines = {name: line_of(tried, measure) for name, tried in list(searched.items())[:LINES]}
    rates = [at for line in lines.values() for at, _ in line]
    values = [value for line in lines.values() for _, seeds in line for value in seeds]
    if len(set(rates)) < 2:
        return ""
    low, high, kind = good_end(values, measure.larger_is_better, measure.log)
    place = _Scale(min(rates), max(rates), low, high, kind == "log")
    drawn = "".join(_line(place, line, colour(number)) for number, line in enumerate(lines.values()))
    return (
        f'<svg role="img" aria-label="{escape(measure.label)} by learning rate" width="{WIDTH}" height="{HEIGHT + 24}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT + 24}" style="max-width:100%;display:block" xmlns="http://www.w3.org/2000/svg">'
        f'<g font-size="11" fill="currentColor" font-family="sans-serif">{_axes(place, measure)}{_names(lines)}</g>'
        f"{drawn}</svg>"
    )


class _Scale:
    """From a learning rate and a value to pixels."""

    def __init__(self, first: float, last: float, low: float, high: float, log: bool) -> None:
        self.first, self.last, self.low, self.high, self.log = first, last, low, high, log

    def x(self, at: float) -> float:
        return round(LEFT + (WIDTH - LEFT - 12) * math.log(at / self.first) / math.log(self.last / self.first), 1)

    def y(self, value: float) -> float:
        if self.log:
            part = math.log(max(value, 1e-12 * self.low) / self.low) / math.log(self.high / self.low)
        else:
            part = (value - self.low) / (self.high - self.low)
        return round(10 + (HEIGHT - BOTTOM - 10) * (1 - part), 1)


def _best_first(found: Result) -> dict[str, Sequence[Candidate]]:
    """The search in the order of the report, where an optimizer has the same colour."""
    names = [str(row.optimizer) for row in getattr(found, "rows", ()) if hasattr(row, "optimizer")]
    return {name: found.tried[name] for name in names or found.tried}


def _line(place: _Scale, line: Sequence[tuple[float, list[float]]], tone: str) -> str:
    dots = "".join(
        f'<circle cx="{place.x(at)}" cy="{place.y(value)}" r="2.4" fill="{tone}"/>'
        for at, seeds in line
        for value in seeds
        if place.low <= value <= place.high
    )
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in _inside(place, [(at, median(seeds)) for at, seeds in line]))
    return f'<polyline points="{path}" fill="none" stroke="{tone}" stroke-width="1.8"/>{dots}'


def _inside(place: _Scale, line: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The line as pixels, cut where it leaves the frame; a clip path would need a name, and a notebook holds many."""
    floor, top = place.y(place.low), place.y(place.high)
    pixels = [(place.x(at), place.y(value)) for at, value in line]
    found: list[tuple[float, float]] = []
    for place_of, (x, y) in enumerate(pixels):
        if top <= y <= floor:
            found.append((x, y))
            continue
        edge = floor if y > floor else top
        for other in (place_of - 1, place_of + 1):
            if 0 <= other < len(pixels) and top <= pixels[other][1] <= floor:
                across = (edge - y) / (pixels[other][1] - y)
                found.append((x + across * (pixels[other][0] - x), edge))
    return found


def _axes(place: _Scale, measure: Measure) -> str:
    floor = HEIGHT - BOTTOM
    frame = f'<path d="M{LEFT} 10V{floor}H{WIDTH - 12}" fill="none" stroke="currentColor" stroke-opacity=".4"/>'
    decades = range(math.ceil(math.log10(place.first) - 1e-9), math.floor(math.log10(place.last) + 1e-9) + 1)
    every = max(1, len(decades) // 5)
    ticks = "".join(
        f'<text x="{place.x(10.0**k)}" y="{floor + 14}" text-anchor="middle">{rate(10.0**k)}</text>'
        for k in list(decades)[::every]
    )
    ends = "".join(
        f'<text x="{LEFT - 5}" y="{place.y(value) + 4}" text-anchor="end">{value:.3g}</text>'
        for value in _round(place, measure)
    )
    titles = (
        f'<text x="{(LEFT + WIDTH) / 2}" y="{floor + 28}" text-anchor="middle" opacity=".7">learning rate</text>'
        f'<text x="12" y="{floor / 2 + 5}" text-anchor="middle" opacity=".7" '
        f'transform="rotate(-90 12 {floor / 2 + 5})">{escape(measure.label)}</text>'
    )
    return frame + ticks + ends + titles


def _round(place: _Scale, measure: Measure) -> list[float]:
    """Round numbers to write beside the axis."""
    most = 100.0 if measure.scale == 100 else math.inf
    if place.log:
        decades = range(math.floor(math.log10(place.low)), math.ceil(math.log10(place.high)))
        return [m * 10.0**k for k in decades for m in (1, 2, 5) if place.low <= m * 10.0**k <= place.high]
    wide = place.high - place.low
    step = next(
        m * 10.0**k
        for k in range(math.floor(math.log10(wide)) - 1, 400)
        for m in (1, 2, 5)
        if wide / (m * 10.0**k) <= 5
    )
    first = math.ceil(place.low / step)
    return [step * k for k in range(first, first + 6) if step * k <= min(place.high, most)]


def _names(lines: Mapping[str, object]) -> str:
    found, x = "", float(LEFT)
    for number, name in enumerate(lines):
        if x + 7 * len(name) > WIDTH:
            break
        found += f'<rect x="{x}" y="{HEIGHT + 8}" width="12" height="3" fill="{colour(number)}"/>'
        found += f'<text x="{x + 16}" y="{HEIGHT + 13}">{escape(name)}</text>'
        x += 32 + 6.2 * len(name)
    return found


def _table(found: Result) -> str:
    headings, rows = found.cells()
    head = "".join(f"<th {CELL}>{escape(text)}</th>" for text in headings)
    body = "".join("<tr>" + "".join(f"<td {CELL}>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows[:ROWS])
    more = f"<p>{len(rows) - ROWS} more are in the report.</p>" if len(rows) > ROWS else ""
    return (
        f'<div style="overflow-x:auto"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{more}'
    )
