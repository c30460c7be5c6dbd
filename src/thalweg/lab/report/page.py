"""A page: a masthead, screens behind tabs, all in one file that asks the network for nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import Any

from bokeh.embed import components
from bokeh.resources import Resources

from thalweg.lab.report.markup import chips

MARK = (
    '<svg viewBox="0 0 28 28" aria-hidden="true"><path d="M2 6c5 0 6 15 12 15S21 6 26 6" fill="none" '
    'stroke="currentColor" stroke-width="2.4" stroke-linecap="round"/><circle cx="14" cy="21" r="2.9" '
    'fill="currentColor"/></svg>'
)


@dataclass(frozen=True)
class Figure:
    """A figure and what it shows, in words: the title, and how to read it."""

    name: str
    plot: Any
    title: str
    about: str = ""


Part = str | Figure | tuple[Figure, ...]  # a piece of HTML, a figure to the full width, figures side by side


@dataclass(frozen=True)
class Screen:
    """What one tab opens. `chips` lets the reader choose which optimizers its figures show."""

    name: str
    title: str
    parts: Sequence[Part]
    chips: bool = False


@dataclass(frozen=True)
class Page:
    """All of a report. `names` are the optimizers in the order of their colors."""

    title: str
    about: str
    screens: Sequence[Screen]
    names: Sequence[str] = ()

    def html(self) -> str:
        """The whole page as text."""
        drawn = {figure.name: figure.plot for screen in self.screens for figure in _figures(screen)}
        script, places = components(drawn) if drawn else ("", {})
        library = Resources(mode="inline", components=["bokeh"], log_level="warn").render_js() if drawn else ""
        tabs = "".join(
            f'<button role="tab" id="tab-{s.name}" data-screen="{s.name}" aria-controls="screen-{s.name}">'
            f"{escape(s.title)}</button>"
            for s in self.screens
        )
        screens = "".join(_screen(screen, places) for screen in self.screens)
        choice = f'<div id="chips" class="chips" role="group" aria-label="optimizers shown">{chips(self.names)}</div>'
        return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<link rel="icon" href="data:,">
<title>{escape(self.title)}</title><style>{_text("style.css")}</style>
{library}</head><body>
<header class="masthead"><div class="brand">{MARK}Thalweg</div><p class="about">{escape(self.about)}</p></header>
<nav class="tabs"><div role="tablist" aria-label="screens">{tabs}</div></nav>
<main>{choice if len(self.names) > 1 else ""}<div class="screens">{screens}</div></main>
{script}<script>{_text("page.js")}</script><script>{_text("trials.js")}</script>
</body></html>
"""


def _screen(screen: Screen, places: dict[str, str]) -> str:
    body = "".join(_part(part, places) for part in screen.parts)
    choice = " data-chips" if screen.chips else ""
    return (
        f'<section class="screen" id="screen-{screen.name}" role="tabpanel" '
        f'aria-labelledby="tab-{screen.name}"{choice}>{body}</section>'
    )


def _part(part: Part, places: dict[str, str]) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, tuple):
        return f'<div class="pair">{"".join(_part(figure, places) for figure in part)}</div>'
    about = f"<p>{escape(part.about)}</p>" if part.about else ""
    return (
        f'<figure id="figure-{part.name}"><figcaption><h3>{escape(part.title)}</h3>{about}</figcaption>'
        f'<div class="plot" role="img" aria-label="{escape(f"{part.title}. {part.about}")}">{places[part.name]}</div>'
        '<div class="printed"></div></figure>'
    )


def _figures(screen: Screen) -> list[Figure]:
    result: list[Figure] = []
    for part in screen.parts:
        result += [part] if isinstance(part, Figure) else part if isinstance(part, tuple) else []
    return result


def _text(name: str) -> str:
    return files("thalweg.lab.report").joinpath(name).read_text(encoding="utf-8")
