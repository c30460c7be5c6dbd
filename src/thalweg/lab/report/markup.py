"""Pieces of HTML that every report is made of: facts, tables, chips, the line to paste, whiskers."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from html import escape
from typing import Any

from thalweg.lab.report.figures.palette import SHOWN, color, dash, ramp, shown_first

BORDERS = {"solid": "solid", "dashed": "dashed", "dotted": "dotted", "dotdash": "double"}
LONG = 80  # letters: a headline above this is set smaller, and split at a colon
WIDTH, HEIGHT = 168, 20  # of a whisker, in pixels


def in_a_script(value: Any) -> str:
    """JSON that no HTML can be in: `<!--<script>` in a name would swallow every script after it."""
    text = json.dumps(value, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def sentences(verdict: str) -> tuple[str, str]:
    """A verdict's first sentence, and the rest: the one is the headline."""
    said = verdict.strip()
    result = re.match(r"(.+?)([.;]) +(?=\S)(.+)", said, re.DOTALL)
    if result is None and len(said) > LONG:
        result = re.match(r"(.+)(:) +(.+)", said, re.DOTALL)
    if result is None:
        return said, ""
    head, mark, rest = result.groups()
    return f"{head}.", rest[0].upper() + rest[1:] if mark == ";" else rest  # half a sentence becomes one


def glued(text: str) -> str:
    """Escaped, with numbers held to their units: no line breaks before a `%` or around a `±`."""
    return re.sub(r" (?=[%±])|(?<=±) ", "\u00a0", escape(text))


def paste(line: str) -> str:
    """The line to paste, with a button that copies it."""
    return (
        f'<div class="paste"><pre id="line">{escape(line)}</pre>'
        '<button id="copy" aria-label="copy the line">copy</button></div>'
    )


def facts(result: Sequence[tuple[str, str, str]]) -> str:
    """Facts as (what, value, in small letters)."""
    cells = "".join(
        f"<div><dt>{escape(what)}</dt><dd>{escape(value)}<small>{escape(small)}</small></dd></div>"
        for what, value, small in result
    )
    return f'<dl class="facts">{cells}</dl>'


def items(title: str, lines: Sequence[str]) -> str:
    """A titled list; nothing where there are no lines."""
    return f"<div><h3>{escape(title)}</h3><ul>{_bullets(lines)}</ul></div>" if lines else ""


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = (), kind: str = "") -> str:
    """A table of cells that are HTML already; `numbers` are the columns set flush right."""
    kinds = ['class="number"' if index in numbers else "" for index in range(len(headings))]
    head = "".join(f'<th scope="col" {kind}>{text}</th>' for kind, text in zip(kinds, headings, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td {kind}>{cell}</td>" for kind, cell in zip(kinds, row, strict=True)) + "</tr>"
        for row in rows
    )
    return f'<div class="scroll {kind}"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def named(name: str, index: int) -> str:
    """An optimizer's name behind its color and dash."""
    return f"{key(index)}{escape(name)}"


def key(index: int) -> str:
    style = f"border-top-style:{BORDERS[dash(index)]};border-top-color:{color(index)}"
    return f'<i class="key" style="{style}"></i>'


def legend(names: Sequence[str]) -> str:
    """What the colors of an ordered figure mean, from cold to hot."""
    swatches = "".join(
        f'<span><i style="border-top-color:{tone}"></i>{escape(name)}</span>'
        for name, tone in zip(names, ramp(len(names)), strict=True)
    )
    return f'<p class="legend">{swatches}</p>'


def verdict(said: str) -> str:
    """A verdict in its color."""
    return f'<span class="mark {tint(said)}">{escape(said)}</span>'


def tint(said: str) -> str:
    """The class that colors a verdict: its first word."""
    word = said.split()[0].strip(",:")
    return {"equivalent": "equal", "not": "undecided"}.get(word, escape(word))


def chips(names: Sequence[str]) -> str:
    """A button for each optimizer, pressed where it is shown."""
    first = shown_first(len(names))
    tops = f'<button class="all" data-first="{SHOWN}">first {SHOWN}</button>' if len(names) > SHOWN else ""
    tops += f'<button class="all" data-first="{len(names)}">all</button>'
    return tops + "".join(
        f'<button data-optimizer="{escape(name)}" aria-pressed="{str(index < first).lower()}">'
        f"{named(name, index)}</button>"
        for index, name in enumerate(names)
    )


def whisker(mean: float, low: float, high: float, margin: float, ends: tuple[float, float], said: str) -> str:
    """A small interval around zero, drawn to a scale that all rows share; `ends` are the scale's."""
    if not math.isfinite(mean):
        return ""
    start, width = ends[0], ends[1] - ends[0]

    def at(value: float) -> float:
        return round(WIDTH * max(-0.5, min(1.5, (value - start) / width)), 1)

    middle = HEIGHT / 2
    band = f'<rect x="{at(-margin)}" width="{at(margin) - at(-margin):.1f}" height="{HEIGHT}" fill="var(--sheet)"/>'
    line = f'<line x1="{at(low)}" x2="{at(high)}" y1="{middle}" y2="{middle}" stroke="currentColor" stroke-width="2"/>'
    return (
        f'<svg class="whisker {tint(said)}" viewBox="0 0 {WIDTH} {HEIGHT}" aria-hidden="true">'
        f"{band if math.isfinite(margin) else ''}"
        f'<line x1="{at(0)}" x2="{at(0)}" y1="0" y2="{HEIGHT}" stroke="var(--grey)" stroke-width="1"/>'
        f"{line if math.isfinite(low) else ''}"
        f'<circle cx="{at(mean)}" cy="{middle}" r="4" fill="currentColor"/></svg>'
    )


def _bullets(lines: Sequence[str]) -> str:
    return "".join(f"<li>{escape(line)}</li>" for line in lines)
