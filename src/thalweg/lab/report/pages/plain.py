"""The report of a result that has no screens of its own: the answer, its table, the trials."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from thalweg.lab.report import answer, trials
from thalweg.lab.report.markup import table
from thalweg.lab.report.page import Page

if TYPE_CHECKING:
    from thalweg.lab.results import Result


def page(found: Result) -> Page:
    """Two screens, of what every result has."""
    task = found.spec["task"]["name"]
    headings, rows = found.cells()
    cells = [[escape(cell) for cell in row] for row in rows]
    known = [answer.price(found.trials, found.versions)]
    parts = [f'<div class="block">{table([escape(text) for text in headings], cells)}</div>']
    return Page(
        title=f"{task}: {found.verb}",
        about=f"{found.verb} on {task}",
        screens=[
            answer.screen(found.verdict, found.line, known, parts, found.notes),
            trials.screen(found.trials, found.unit, found.spec, found.versions),
        ],
    )
