"""One HTML page of a run: the findings on top, then a strip of layers against time for each quantity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from thalweg.lens.finding import MOST, Finding
from thalweg.lens.record import Record
from thalweg.lens.words import healthy

STRIPS = {  # quantity: its name, and the range of its colors
    "update_ratio": ("update / weight", 1e-6, 1.0),
    "gradient": ("gradient, sum of squares", 1e-10, 1e2),
    "zeros": ("share of zeros in the gradient", 1e-2, 1.0),
    "lost": ("share of steps lost to rounding", 1e-2, 1.0),
    "out_of_date": ("squared gradient / second moment", 1e-2, 1e2),
}
MOST_BYTES = 1_000_000
MOST_LAYERS, MOST_TIMES = 60, 100  # rows and columns a strip; fewer where the page would be larger than that
WIDTH, HEIGHT = 8, 12
STYLE = """body{font:16px/1.6 system-ui,sans-serif;max-width:1100px;margin:2rem auto;padding:0 1rem;color:#14212b}
pre{background:#f4f6f8;padding:1rem;white-space:pre-wrap;border-left:4px solid #0b6a84}
h2{font-size:1rem;margin:2rem 0 .3rem}
text{font:10px system-ui,sans-serif;fill:#52606c}svg{max-width:100%}"""


def page(record: Record, findings: Sequence[Finding], language: str = "en") -> str:
    """The page as text, at most 1 MB of it whatever the model: strips that are too fine are drawn coarser."""
    layers, times = MOST_LAYERS, MOST_TIMES
    while len((text := _page(record, findings, language, layers, times)).encode()) > MOST_BYTES and layers > 1:
        layers, times = layers * 2 // 3, times * 2 // 3
    return text


def _page(record: Record, findings: Sequence[Finding], language: str, layers: int, times: int) -> str:
    told = [f"<pre>{escape(each.tell(language))}</pre>" for each in findings[:MOST]]
    body = "".join(told) or f"<p>{escape(healthy(language))}</p>"
    marks = [each.step for each in findings[:MOST] if each.step is not None]
    strips = "".join(
        f"<h2>{escape(title)}, {low:g} to {high:g}</h2>{_strip(record, quantity, (low, high), marks, layers, times)}"
        for quantity, (title, low, high) in STRIPS.items()
    )
    return (
        f'<!doctype html><html lang="{language}"><meta charset="utf-8"><title>Thalweg lens</title>'
        f"<style>{STYLE}</style><h1>Lens: {record.steps} steps</h1>{body}<h2>Loss</h2>{_loss(record)}{strips}</html>"
    )


def _thinned(values: Sequence[int], most: int) -> list[int]:
    stride = max(1, math.ceil(len(values) / most))
    return list(values[::stride])


def _strip(
    record: Record, quantity: str, colors: tuple[float, float], marks: Sequence[int], layers: int, most: int
) -> str:
    low, high = colors
    times = _thinned(list(record.tensors), most)
    whole = list(dict.fromkeys(name for time in times for name in record.tensors[time]))
    names = [whole[place] for place in _thinned(range(len(whole)), layers)]
    cells = []
    for row, name in enumerate(names):
        cells.append(f'<text x="0" y="{HEIGHT * row + 10}">{escape(name[-28:])}</text>')
        for column, time in enumerate(times):
            each = record.tensors[time].get(name)
            if each is None or math.isnan(value := float(getattr(each, quantity))):
                continue
            shade = (math.log(max(value, low)) - math.log(low)) / (math.log(high) - math.log(low))
            light = 95 - 65 * min(max(shade, 0.0), 1.0)
            cells.append(
                f'<rect x="{180 + WIDTH * column}" y="{HEIGHT * row}" width="{WIDTH}" height="{HEIGHT}" '
                f'fill="hsl(196 80% {light:.0f}%)"><title>{escape(name[-60:])}, step {time}: {value:.3g}</title></rect>'
            )
    for mark in marks:
        column = sum(time < mark for time in times)
        x = 180 + WIDTH * column
        cells.append(f'<path d="M{x} 0V{HEIGHT * len(names)}" stroke="#b23c0b" stroke-width="2"/>')
    width, height = 180 + WIDTH * max(len(times), 1), HEIGHT * max(len(names), 1)
    return f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">{"".join(cells)}</svg>'


def _loss(record: Record) -> str:
    curve = [(step, loss) for step, loss in record.curve() if math.isfinite(loss)]
    if len(curve) < 2:
        return "<p>No loss was told: <code>seen.loss(loss)</code>.</p>"
    curve = curve[:: max(1, len(curve) // 400)]
    top, last = max(loss for _, loss in curve) or 1.0, curve[-1][0]
    points = " ".join(f"{900 * step / last:.1f},{110 - 100 * loss / top:.1f}" for step, loss in curve)
    return (
        f'<svg viewBox="0 0 900 120" width="900" height="120" role="img"><polyline points="{points}" fill="none" '
        f'stroke="#0b6a84" stroke-width="2"/><text x="0" y="10">{top:.3g}</text></svg>'
    )
