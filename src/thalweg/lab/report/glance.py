"""The two figures that the Answer screen opens with: what each learning rate ends at, and how the runs train."""

from __future__ import annotations

from typing import Any

from thalweg.lab.report.page import Figure

HEIGHT = 300  # pixels: both are seen without scrolling


def glance(
    by_rate: Any, training: Any, measured: str, about: tuple[str, str], rate: str = "learning rate"
) -> tuple[Figure, ...]:
    """Both, side by side.

    Args:
        by_rate: a figure of a sweep.
        training: a figure of curves.
        measured: what both show on validation, in words.
        about: how to read each.
        rate: what the sweep is over.
    """
    for drawn in (by_rate, training):
        drawn.height = HEIGHT
    return (
        Figure("answer-sweep", by_rate, f"Validation {measured} by {rate}", about[0]),
        Figure("answer-curves", training, f"Validation {measured} while training", about[1]),
    )
