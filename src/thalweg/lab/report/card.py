"""A result in a notebook: the sentence, the line to paste, a drawing of the sweep, the table; no script."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from statistics import median
from typing import TYPE_CHECKING, Any

from thalweg.lab.judging.wording import rate
from thalweg.lab.report.figures.measure import Measure, good_end, line_of, measures
from thalweg.lab.report.figures.palette import color
from thalweg.lab.report.markup import sentences
from thalweg.lab.search.configurations import Candidate

if TYPE_CHECKING:
    from thalweg.lab.results import Result
    from thalweg.lab.results.answer import Answer

ROWS = 10  # of the table; the report has them all
LINES = 8  # of the drawing: one a color
WIDTH, HEIGHT, LEFT, BOTTOM = 460, 190, 46, 34  # of the drawing, in pixels
CELL = 'style="text-align:left;padding:3px 14px 3px 0;white-space:nowrap"'


def card(result: Answer) -> str:
    """HTML that is readable in a light notebook and in a dark one: all ink is the notebook's own."""
    head, rest = sentences(result.verdict)
    line = f'<pre style="margin:8px 0;white-space:pre-wrap">{escape(result.line)}</pre>' if result.line else ""
    return (
        f'<div style="max-width:900px"><p style="margin:4px 0;font-size:1.15em"><b>{escape(head)}</b></p>'
        f'<p style="margin:4px 0">{escape(rest)}</p>{line}'
        f"{_picture(result)}{_table(result)}</div>"
    )


def _picture(result: Any) -> str:
    """A study's sweep; an answer over several studies has none of its own."""
    if not hasattr(result, "candidates"):
        return ""
    return drawing(_best_first(result), measures(result.unit, result.larger_is_better)[0])


def drawing(searched: Mapping[str, Sequence[Candidate]], measure: Measure) -> str:
    """The sweep as a small SVG; nothing where fewer than two learning rates ended."""
    lines = {name: line_of(candidates, measure) for name, candidates in list(searched.items())[:LINES]}
    rates = [at for line in lines.values() for at, _ in line]
    values = [value for line in lines.values() for _, seeds in line for value in seeds]
    if len(set(rates)) < 2:
        return ""
    low, high, kind = good_end(values, measure.larger_is_better, measure.log)
    scale = _Scale(min(rates), max(rates), low, high, kind == "log")
    figure = "".join(_line(scale, line, color(number)) for number, line in enumerate(lines.values()))
    return (
        f'<svg role="img" aria-label="{escape(measure.label)} by learning rate" width="{WIDTH}" height="{HEIGHT + 24}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT + 24}" style="max-width:100%;display:block" xmlns="http://www.w3.org/2000/svg">'
        f'<g font-size="11" fill="currentColor" font-family="sans-serif">{_axes(scale, measure)}{_names(lines)}</g>'
        f"{figure}</svg>"
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


def _best_first(result: Result) -> dict[str, Sequence[Candidate]]:
    """The search in the order of the report, where an optimizer has the same color."""
    names = [str(row.optimizer) for row in getattr(result, "rows", ()) if hasattr(row, "optimizer")]
    return {name: result.candidates[name] for name in names or result.candidates}


def _line(scale: _Scale, line: Sequence[tuple[float, list[float]]], tone: str) -> str:
    dots = "".join(
        f'<circle cx="{scale.x(at)}" cy="{scale.y(value)}" r="2.4" fill="{tone}"/>'
        for at, seeds in line
        for value in seeds
        if scale.low <= value <= scale.high
    )
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in _inside(scale, [(at, median(seeds)) for at, seeds in line]))
    return f'<polyline points="{path}" fill="none" stroke="{tone}" stroke-width="1.8"/>{dots}'


def _inside(scale: _Scale, line: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The line as pixels, cut where it leaves the frame; a clip path would need a name, and a notebook holds many."""
    floor, top = scale.y(scale.low), scale.y(scale.high)
    pixels = [(scale.x(at), scale.y(value)) for at, value in line]
    result: list[tuple[float, float]] = []
    for index, (x, y) in enumerate(pixels):
        if top <= y <= floor:
            result.append((x, y))
            continue
        edge = floor if y > floor else top
        for other in (index - 1, index + 1):
            if 0 <= other < len(pixels) and top <= pixels[other][1] <= floor:
                across = (edge - y) / (pixels[other][1] - y)
                result.append((x + across * (pixels[other][0] - x), edge))
    return result


def _axes(scale: _Scale, measure: Measure) -> str:
    floor = HEIGHT - BOTTOM
    frame = f'<path d="M{LEFT} 10V{floor}H{WIDTH - 12}" fill="none" stroke="currentColor" stroke-opacity=".4"/>'
    decades = range(math.ceil(math.log10(scale.first) - 1e-9), math.floor(math.log10(scale.last) + 1e-9) + 1)
    every = max(1, len(decades) // 5)
    ticks = "".join(
        f'<text x="{scale.x(10.0**k)}" y="{floor + 14}" text-anchor="middle">{rate(10.0**k)}</text>'
        for k in list(decades)[::every]
    )
    ends = "".join(
        f'<text x="{LEFT - 5}" y="{scale.y(value) + 4}" text-anchor="end">{value:.3g}</text>'
        for value in _round(scale, measure)
    )
    titles = (
        f'<text x="{(LEFT + WIDTH) / 2}" y="{floor + 28}" text-anchor="middle" opacity=".7">learning rate</text>'
        f'<text x="12" y="{floor / 2 + 5}" text-anchor="middle" opacity=".7" '
        f'transform="rotate(-90 12 {floor / 2 + 5})">{escape(measure.label)}</text>'
    )
    return frame + ticks + ends + titles


def _round(scale: _Scale, measure: Measure) -> list[float]:
    """Round numbers to write beside the axis."""
    most = 100.0 if measure.scale == 100 else math.inf
    if scale.log:
        decades = range(math.floor(math.log10(scale.low)), math.ceil(math.log10(scale.high)))
        return [m * 10.0**k for k in decades for m in (1, 2, 5) if scale.low <= m * 10.0**k <= scale.high]
    wide = scale.high - scale.low
    step = next(
        m * 10.0**k
        for k in range(math.floor(math.log10(wide)) - 1, 400)
        for m in (1, 2, 5)
        if wide / (m * 10.0**k) <= 5
    )
    first = math.ceil(scale.low / step)
    return [step * k for k in range(first, first + 6) if step * k <= min(scale.high, most)]


def _names(lines: Mapping[str, object]) -> str:
    result, x = "", float(LEFT)
    for number, name in enumerate(lines):
        if x + 7 * len(name) > WIDTH:
            break
        result += f'<rect x="{x}" y="{HEIGHT + 8}" width="12" height="3" fill="{color(number)}"/>'
        result += f'<text x="{x + 16}" y="{HEIGHT + 13}">{escape(name)}</text>'
        x += 32 + 6.2 * len(name)
    return result


def _table(result: Answer) -> str:
    headings, rows = result.cells()
    head = "".join(f"<th {CELL}>{escape(text)}</th>" for text in headings)
    body = "".join("<tr>" + "".join(f"<td {CELL}>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows[:ROWS])
    more = f"<p>{len(rows) - ROWS} more are in the report.</p>" if len(rows) > ROWS else ""
    return (
        f'<div style="overflow-x:auto"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{more}'
    )
