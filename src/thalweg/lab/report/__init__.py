"""The report: one HTML file that needs no network, for somebody who was not there."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thalweg.lab.results import Answer

PAGES = {"compare": "comparison", "sweep": "sweep", "tune": "tuning", "range-test": "range_test", "joint": "joint"}


def render(result: Answer) -> str:
    """The whole page of a result as text."""
    kind = import_module(f"thalweg.lab.report.pages.{PAGES.get(result.verb, 'plain')}")
    return str(kind.page(result).html())
