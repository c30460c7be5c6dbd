"""The report: one HTML file that needs no network, for somebody who was not there."""

from __future__ import annotations

from typing import Any


def render(found: Any) -> str:
    """The whole page of a result as text."""
    from thalweg.lab.report import comparison

    return comparison.page(found).html()
