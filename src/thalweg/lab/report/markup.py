"""Pieces of HTML that every report is made of: facts, tables, chips, the line to paste, whiskers."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from html import escape
from typing import Any

from thalweg.lab.report.figures.palette import SHOWN, color, dash, ramp, shown_first
from thalweg.lab.report.templates import piece

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


def headline(verdict: str) -> tuple[str, str]:
    """A verdict as one line, and what stands below it: the rest, or all of it where the line leaves something out.

    >>> headline("adam at lr 0.01 (0.005 to 0.02 perform equivalently) leads: 97 % on 5 fresh seeds; worse: sgd.")[0]
    'adam at lr 0.01 leads: 97 %.'
    """
    head, rest = sentences(verdict)
    short = re.sub(r" \([^()]*\)| on \d+ fresh seeds?(?=[.,;]|$)|, but .*(?=\.$)", "", head)
    return (head, rest) if short == head else (short, verdict.strip())


def glued(text: str) -> str:
    """Escaped, with numbers held to their units: no line breaks before a `%` or around a `±`."""
    return re.sub(r" (?=[%±])|(?<=±) ", "\u00a0", escape(text))


def paste(line: str) -> str:
    """The line to paste, with a button that copies it."""
    return piece("paste", line)


def facts(known: Sequence[tuple[str, str, str]]) -> str:
    """Facts as (what, value, in small letters)."""
    return piece("facts", known)


def items(title: str, lines: Sequence[str]) -> str:
    """A titled list; nothing where there are no lines."""
    return piece("items", title, lines)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = (), kind: str = "") -> str:
    """A table of cells that are HTML already; `numbers` are the columns set flush right."""
    return piece("table", headings, rows, numbers, kind)


def named(name: str, index: int) -> str:
    """An optimizer's name behind its color and dash."""
    return f"{key(index)}{escape(name)}"


def key(index: int) -> str:
    return piece("key", BORDERS[dash(index)], color(index))


def legend(names: Sequence[str]) -> str:
    """What the colors of an ordered figure mean, from cold to hot."""
    return piece("legend", list(zip(names, ramp(len(names)), strict=True)))


def verdict(said: str) -> str:
    """A verdict in its color."""
    return piece("verdict", tint(said), said)


def tint(said: str) -> str:
    """The class that colors a verdict: its first word."""
    word = said.split()[0].strip(",:")
    return {"equivalent": "equal", "not": "undecided"}.get(word, word)


def chips(names: Sequence[str]) -> str:
    """A button for each optimizer, pressed where it is shown."""
    return piece("chips", names, [key(index) for index in range(len(names))], shown_first(len(names)), SHOWN)


def whisker(mean: float, low: float, high: float, margin: float, ends: tuple[float, float], said: str) -> str:
    """A small interval around zero, drawn to a scale that all rows share; `ends` are the scale's."""
    if not math.isfinite(mean):
        return ""
    start, width = ends[0], ends[1] - ends[0]

    def at(value: float) -> float:
        return round(WIDTH * max(-0.5, min(1.5, (value - start) / width)), 1)

    band = (at(-margin), f"{at(margin) - at(-margin):.1f}") if math.isfinite(margin) else None
    line = (at(low), at(high)) if math.isfinite(low) else None
    return piece("whisker", tint(said), band, at(0), line, at(mean), WIDTH, HEIGHT)
