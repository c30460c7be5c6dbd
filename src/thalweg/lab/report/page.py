"""A page: a masthead, screens behind tabs, all in one file that asks the network for nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bokeh.document import Document
from bokeh.embed import components
from bokeh.resources import Resources

from thalweg.lab.report.markup import chips
from thalweg.lab.report.templates import environment


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
        _join(drawn.values())
        script, places = components(drawn) if drawn else ("", {})
        library = Resources(mode="inline", components=["bokeh"], log_level="warn").render_js() if drawn else ""
        return (
            environment()
            .get_template("page.html")
            .render(page=self, places=places, script=script, library=library, chips=chips(self.names))
        )


def _join(plots: Iterable[Any]) -> None:
    """Put figures into one document. Bokeh goes through all of them for each that it adds: a third of the time."""
    document = Document()
    with document.models.freeze():
        for plot in plots:
            document.add_root(plot)


def _figures(screen: Screen) -> list[Figure]:
    result: list[Figure] = []
    for part in screen.parts:
        result += [part] if isinstance(part, Figure) else part if isinstance(part, tuple) else []
    return result
