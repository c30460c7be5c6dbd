"""Notices a run that diverges, from the loss of each step, and lets one live whose loss has heavy tails."""

from __future__ import annotations

import math
from collections import deque
from itertools import pairwise
from statistics import median

FACTOR = 4.0  # a loss so many times that of the untrained model's has diverged
SURE = 6.0  # standard errors beyond that, by the losses' own spread
FIRST = 5  # losses of the untrained model, about
SHORT, LONG = 16, 128  # losses in a window: a quarter of the run so far, between these
TO_SIGMA = 1.4826  # a normal distribution's deviation by its median absolute one
OF_MEDIAN = 1.2533  # a median's standard error by a mean's

# The climb of a range test ends by a rule of its own: there, a loss above its best is what one looks for.
CLIMB_FACTOR = 4.0
CLIMB_FLOOR = 0.1  # the best counts as at least a tenth of the first: near zero a ratio says nothing
CLIMB_SMOOTHING = 0.9


class Diverged(Exception):
    """The run is over: its loss is not finite, or far above where it began."""


class NotANumber(Exception):
    """The run is over without a value: its metric is NaN, though its loss is not."""


class DivergenceMonitor:
    """Notices a run that diverges.

    The median loss of a window is compared with the first losses; it has diverged where it is `factor` times as high,
    and that by more than the losses' own spread could explain. Medians do not see rare large batches, and a spread
    that is large makes the rule lenient: in a regression with 5 % large claims (Pareto, no variance) "4 x the best
    smoothed loss" ended every healthy run. Spread is measured between neighbors, so that growth is no spread.

    Args:
        factor: None for finite losses alone.
    """

    def __init__(self, factor: float | None = FACTOR) -> None:
        self.factor = factor
        self.first: list[float] = []
        self.last: deque[float] = deque(maxlen=LONG)
        self.count = 0

    def see(self, loss: float) -> None:
        """Take in one step's loss.

        Raises:
            Diverged: with the reason in words.
        """
        self.count += 1
        if not math.isfinite(loss):
            raise Diverged(f"training loss is {loss} at step {self.count}")
        if self.factor is None:
            return
        if len(self.first) < FIRST:
            self.first.append(loss)
        self.last.append(loss)
        if self.count >= SHORT and self.count % (4 if self.count <= 4 * SHORT else SHORT) == 0:
            self._look()

    def _look(self) -> None:
        size = min(max(SHORT, self.count // 4), LONG)
        window = list(self.last)[-size:]
        begin, now = max(self.first[0], median(self.first)), median(window)
        positive = begin > 0 and min(window) > 0
        losses = [math.log(loss) for loss in window] if positive else window
        jumps = [later - earlier for earlier, later in pairwise(losses)]
        middle = median(jumps)
        spread = TO_SIGMA * median(abs(jump - middle) for jump in jumps) / math.sqrt(2)
        error = OF_MEDIAN * spread * math.sqrt(1 / len(self.first) + 1 / size)
        assert self.factor is not None
        if positive:
            limit = math.exp(min(700.0, math.log(begin) + math.log(self.factor) + SURE * error))
        else:
            limit = begin + (self.factor - 1) * max(abs(begin), spread) + SURE * error
        if now > limit:
            raise Diverged(
                f"at step {self.count} the median training loss of the last {size} is {now:.4g}, above {limit:.4g}: "
                f"{self.factor:g} x that of the first, and the losses' spread"
            )


class ClimbMonitor:
    """Notices that a climbing learning rate is too large: the smoothed loss is far above its best."""

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
        self.smooth = CLIMB_SMOOTHING * self.smooth + (1 - CLIMB_SMOOTHING) * loss
        self.weight = CLIMB_SMOOTHING * self.weight + (1 - CLIMB_SMOOTHING)
        smooth = self.smooth / self.weight
        self.floor = CLIMB_FLOOR * abs(loss) if self.floor is None else self.floor
        self.best = min(self.best, smooth)
        limit = CLIMB_FACTOR * max(self.best, self.floor)
        if smooth > limit:
            raise Diverged(f"smoothed training loss {smooth:.4g} is above {limit:.4g}, {CLIMB_FACTOR:g} x its best")


def check_end(loss: float, metric: float, metric_name: str) -> None:
    """The validation values that count must be finite.

    Raises:
        Diverged: for a loss or a metric that is infinite, or a loss that is NaN.
        NotANumber: for a metric that is NaN where the loss is not.
    """
    if not math.isfinite(loss):
        raise Diverged(f"validation loss is {loss} at the end")
    if math.isnan(metric):
        raise NotANumber(f"validation {metric_name} is nan at the end; the loss is {loss:.4g}")
    if math.isinf(metric):
        raise Diverged(f"validation {metric_name} is {metric} at the end")
