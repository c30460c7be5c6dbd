"""Notices a run that diverges, from the loss of each step."""

from __future__ import annotations

import math

DIVERGED_FACTOR = 4.0  # a smoothed loss above 4 x its best has diverged
DIVERGED_FLOOR = 0.1  # the best counts as at least a tenth of the first: near zero a ratio says nothing
SMOOTHING = 0.9


class Diverged(Exception):
    """The run is over: its loss is not finite, or far above its best."""


class DivergenceMonitor:
    """Notices a run that diverges, from the loss of each step."""

    def __init__(self) -> None:
        self.smooth = self.weight = 0.0
        self.best = math.inf
        self.floor: float | None = None

    def see(self, loss: float) -> None:
        """Take in one step's loss.

        Raises:
            Diverged: with the reason in words.
        """
        if not math.isfinite(loss):
            raise Diverged(f"training loss is {loss}")
        self.smooth = SMOOTHING * self.smooth + (1 - SMOOTHING) * loss
        self.weight = SMOOTHING * self.weight + (1 - SMOOTHING)
        smooth = self.smooth / self.weight
        self.floor = DIVERGED_FLOOR * abs(loss) if self.floor is None else self.floor
        self.best = min(self.best, smooth)
        limit = DIVERGED_FACTOR * max(self.best, self.floor)
        if smooth > limit:
            raise Diverged(f"smoothed training loss {smooth:.4g} is above {limit:.4g}, {DIVERGED_FACTOR:g} x its best")


def check_end(loss: float, metric: float, metric_name: str) -> None:
    """The validation values that count must be finite.

    Raises:
        Diverged: for one that is not.
    """
    for name, value in (("loss", loss), (metric_name, metric)):
        if not math.isfinite(value):
            raise Diverged(f"validation {name} is {value} at the end")
