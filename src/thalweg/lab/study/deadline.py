"""A study's budget as a deadline: when it may begin something more, and what breaks off what still runs at the end."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SPARE = 0.05  # of a budget is left for the report,
REPORT = 15.0  # which takes 5 s on a quiet machine and 25 s on one that seven others share: at least this many seconds,
MOST = 0.25  # but of a short budget no more than this
RESERVED = 0.4  # of a budget is left, at most, for the runs on fresh seeds
PART = 0.25  # of the time that is left is what is begun at once: less is lost where it proves slower than thought


class OutOfTime(BaseException):
    """The deadline has passed; no `except Exception` of the user's code is to take it."""


class Deadline:
    """When a study must end.

    Args:
        budget: seconds; None for no deadline at all.
        began: when the study was asked for, by `time.monotonic()`.
    """

    def __init__(self, budget: float | None = None, began: float | None = None) -> None:
        self.budget = budget
        self.began = began = time.monotonic() if began is None else began
        self.before = 0.0  # seconds that had gone by when the first run was to begin
        self.at = None if budget is None else began + budget - min(max(REPORT, SPARE * budget), MOST * budget)
        self.passed = False  # something was left out for it
        self._runs, self._seconds = 0, 0.0  # what has ended, and how long that took by the clock

    def ready(self) -> None:
        """All that comes before the first run is done."""
        self.before = time.monotonic() - self.began

    def left(self, reserve: int = 0) -> float:
        """Seconds that are left beside the time of so many runs, which come later."""
        return float("inf") if self.at is None else self.at - time.monotonic() - self._kept_for(reserve)

    def _kept_for(self, runs: int) -> float:
        """Seconds for runs that come later: what they take, and at most a share of the budget."""
        return min(runs * (self.pace or 0.0), RESERVED * (self.budget or 0.0))

    @property
    def pace(self) -> float | None:
        """Seconds a run by the clock, however many go side by side; None before one has ended."""
        return self._seconds / self._runs if self._runs else None

    def see(self, runs: int, seconds: float) -> None:
        """Take in how long so many runs took."""
        self._runs += runs
        self._seconds += seconds

    def next_part(self, waiting: int, least: int, reserve: int) -> int:
        """How many of those that wait to begin at once: 0 where there is no time even for the least."""
        if self.at is None:
            return waiting
        left = self.left(reserve)
        if self.pace is None:
            return min(waiting, least) if left > 0 else 0
        if left < min(waiting, least) * self.pace:
            return 0
        return max(min(waiting, least), min(waiting, int(PART * left / self.pace)))

    @contextmanager
    def enforce(self, reserve: int = 0) -> Iterator[None]:
        """Raise OutOfTime in what runs inside when the time, less half of what is in reserve, is over.

        It takes a main thread and a system with timers; elsewhere what runs is let end by itself.
        """
        main = threading.current_thread() is threading.main_thread()
        if self.at is None or not hasattr(signal, "setitimer") or not main:
            yield
            return

        def ring(number: int, frame: FrameType | None) -> None:
            raise OutOfTime

        before = signal.signal(signal.SIGALRM, ring)
        signal.setitimer(signal.ITIMER_REAL, max(0.001, self.left() - self._kept_for(reserve) / 2))
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


def larger(seconds: float) -> str:
    """A budget as one types it, twice as large at least.

    >>> larger(10), larger(40), larger(1000), larger(1e5)
    ('30s', '2m', '1h', '56h')
    """
    least = 2 * seconds
    usual = {"30s": 30, "1m": 60, "2m": 120, "5m": 300, "10m": 600, "30m": 1800, "1h": 3600, "3h": 10800, "8h": 28800}
    return next((text for text, each in usual.items() if each >= least), f"{math.ceil(least / 3600)}h")
