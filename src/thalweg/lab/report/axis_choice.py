"""The switch of a figure's x axis: by steps, by epochs, by seconds."""

from __future__ import annotations


def switch(timed: bool) -> str:
    """Three buttons, the first pressed; seconds only where the time of a step was measured."""
    off = "" if timed else ' disabled title="the time of a step was not measured"'
    return (
        '<div class="switch" role="group" aria-label="x axis">'
        '<button data-along="steps" aria-pressed="true">steps</button>'
        '<button data-along="epochs" aria-pressed="false">epochs</button>'
        f'<button data-along="seconds" aria-pressed="false"{off}>seconds</button></div>'
    )
