"""Many optimizers in one figure: all in gray behind, the chosen ones in color, in a handful of renderers.

A renderer for each optimizer would be the simple way, and a slow and large one: here a row of a column belongs to an
optimizer, and the chips of the page move a filter over the rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bokeh.models import BooleanFilter, CDSView, ColumnDataSource

from thalweg.lab.report.figures.palette import color, dash, ramp, shown_first

PICKED = "picked"  # the page's script looks for renderers of this name, and for the most it may show


def table(columns: Mapping[str, Sequence[Any]]) -> Any:
    """Columns of equal length as Bokeh wants them."""
    return ColumnDataSource(dict(columns))


class Columns:
    """Rows of a figure's data, each of an optimizer, in its color.

    `ramped`: the rows are not optimizers but in an order of their own, cold to hot, and no chip hides them.
    """

    def __init__(self, order: Sequence[str], *cells: str, ramped: bool = False) -> None:
        self.order, self.ramped = list(order), ramped
        self.colors = ramp(len(order)) if ramped else [color(position) for position in range(len(order))]
        self.data: dict[str, list[Any]] = {key: [] for key in ("name", "color", "dash", *cells)}

    def add(self, name: str, **cells: Any) -> None:
        position = self.order.index(name)
        row = {
            "name": name,
            "color": self.colors[position],
            "dash": "solid" if self.ramped else dash(position),
            **cells,
        }
        for key, column in self.data.items():
            column.append(row[key])

    @property
    def names(self) -> list[str]:
        return self.data["name"]

    def source(self) -> Any:
        return table(self.data)

    def picked(self, most: int = 0) -> dict[str, Any]:
        """What makes a renderer show the chosen optimizers only; none where more than `most` are chosen: bands
        that lie over one another cannot be told apart."""
        if self.ramped:
            return {}
        first = set(self.order[: shown_first(len(self.order))])
        show = [name in first and (not most or len(first) <= most) for name in self.names]
        return {"name": f"{PICKED} {most}", "view": CDSView(filter=BooleanFilter(booleans=show))}
