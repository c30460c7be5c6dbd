"""One HTML page of a run: the findings on top, then a strip of layers against time for each quantity."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

from thalweg.lens.finding import Finding
from thalweg.lens.record import Record
from thalweg.lens.words import healthy, texts

STRIPS = {  # quantity: the range of its colors
    "update_ratio": (1e-6, 1.0),
    "gradient": (1e-10, 1e2),
    "zeros": (1e-2, 1.0),
    "lost": (1e-2, 1.0),
    "out_of_date": (1e-2, 1e2),
}
MOST_BYTES = 1_000_000
MOST_LAYERS, MOST_TIMES = 60, 100  # rows and columns a strip; fewer where the page would be larger than that
WIDTH, HEIGHT = 8, 12
STYLE = """body{font:16px/1.6 system-ui,sans-serif;max-width:1100px;margin:2rem auto;padding:0 1rem;color:#14212b}
pre{background:#f4f6f8;padding:1rem;white-space:pre-wrap;border-left:4px solid #0b6a84}
h2{font-size:1rem;margin:2rem 0 .3rem}
text{font:10px system-ui,sans-serif;fill:#52606c}svg{max-width:100%}"""


def write(path: str | Path, text: Callable[[], str]) -> Path:
    """Put a page into a file; its path.

    Raises:
        ValueError: for a folder that is not there, and for one that is in the file's place.
    """
    check_place("path", path)
    out = Path(path)
    out.write_text(text(), encoding="utf-8")
    return out.resolve()


def check_place(argument: str, path: str | Path) -> None:
    """ValueError for a path that no file can be written to."""
    out = Path(path)
    if out.is_dir():
        raise ValueError(f"{argument}: {out} is a folder; must be a file's name")
    if not out.parent.is_dir():
        raise ValueError(f"{argument}: no folder {out.parent}")


def of_checkpoint(name: str, findings: Sequence[Finding], notes: Sequence[str] = (), language: str = "en") -> str:
    """A page of what a saved state gives away, as text."""
    more = "".join(f"<p>{escape(note)}</p>" for note in notes)
    return _frame(texts(language)["page"]["checkpoint"].format(name=name), findings, more, language)


def of_run(record: Record, findings: Sequence[Finding], language: str = "en") -> str:
    """The page as text, at most 1 MB of it whatever the model: strips that are too fine are drawn coarser."""
    layers, times = MOST_LAYERS, MOST_TIMES
    while len((text := _page(record, findings, language, layers, times)).encode()) > MOST_BYTES and layers > 1:
        layers, times = layers * 2 // 3, times * 2 // 3
    return text


def _page(record: Record, findings: Sequence[Finding], language: str, layers: int, times: int) -> str:
    text = texts(language)["page"]
    marks = [each.step for each in findings if each.step is not None]
    strips = "".join(
        f"<h2>{escape(text['range'].format(title=text[quantity], low=f'{low:g}', high=f'{high:g}'))}</h2>"
        + _strip(record, quantity, (low, high), marks, layers, times, text["step"])
        for quantity, (low, high) in STRIPS.items()
    )
    loss = _loss(record) or f"<p>{escape(text['no_loss'])}</p>"
    more = f"<h2>{escape(text['loss'])}</h2>{loss}{strips}"
    return _frame(text["run"].format(steps=record.steps), findings, more, language)


def _frame(title: str, findings: Sequence[Finding], more: str, language: str) -> str:
    told = "".join(f"<pre>{escape(each.tell(language))}</pre>" for each in findings)
    body = told or f"<p>{escape(healthy(language))}</p>"
    return (
        f'<!doctype html><html lang="{language}"><meta charset="utf-8"><title>Thalweg lens</title>'
        f"<style>{STYLE}</style><h1>{escape(title)}</h1>{body}{more}</html>"
    )


def _thinned(values: Sequence[int], most: int) -> list[int]:
    stride = max(1, math.ceil(len(values) / most))
    return list(values[::stride])


def _strip(
    record: Record, quantity: str, colors: tuple[float, float], marks: Sequence[int], layers: int, most: int, step: str
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
            told = f"{escape(name[-60:])}{step.format(step=time)}{value:.3g}"
            cells.append(
                f'<rect x="{180 + WIDTH * column}" y="{HEIGHT * row}" width="{WIDTH}" height="{HEIGHT}" '
                f'fill="hsl(196 80% {light:.0f}%)"><title>{told}</title></rect>'
            )
    for mark in marks:
        column = sum(time < mark for time in times)
        x = 180 + WIDTH * column
        cells.append(f'<path d="M{x} 0V{HEIGHT * len(names)}" stroke="#b23c0b" stroke-width="2"/>')
    width, height = 180 + WIDTH * max(len(times), 1), HEIGHT * max(len(names), 1)
    return f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">{"".join(cells)}</svg>'


def _loss(record: Record) -> str:
    """The curve; nothing where no loss was told."""
    curve = [(step, loss) for step, loss in record.curve() if math.isfinite(loss)]
    if len(curve) < 2:
        return ""
    curve = curve[:: max(1, len(curve) // 400)]
    top, last = max(loss for _, loss in curve) or 1.0, curve[-1][0]
    points = " ".join(f"{900 * step / last:.1f},{110 - 100 * loss / top:.1f}" for step, loss in curve)
    return (
        f'<svg viewBox="0 0 900 120" width="900" height="120" role="img"><polyline points="{points}" fill="none" '
        f'stroke="#0b6a84" stroke-width="2"/><text x="0" y="10">{top:.3g}</text></svg>'
    )
