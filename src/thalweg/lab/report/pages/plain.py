"""The report of a result that has no screens of its own: the answer, its table, the trials."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from thalweg.lab.report import answer, trials
from thalweg.lab.report.markup import table
from thalweg.lab.report.page import Page

if TYPE_CHECKING:
    from thalweg.lab.results import Result


def page(result: Result) -> Page:
    """Two screens, of what every result has."""
    task = result.spec["task"]["name"]
    headings, rows = result.cells()
    cells = [[escape(cell) for cell in row] for row in rows]
    known = [answer.price(result.trials, result.versions)]
    parts = [f'<div class="block">{table([escape(text) for text in headings], cells)}</div>']
    return Page(
        title=f"{task}: {result.verb}",
        about=f"{result.verb} on {task}",
        screens=[
            answer.screen(result.verdict, result.line, known, parts, result.notes),
            trials.screen(result.trials, result.unit, result.spec, result.versions),
        ],
    )
