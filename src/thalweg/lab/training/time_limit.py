"""A time limit for one run: a run that hangs must not stop a study for good."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SOON = 0.05  # seconds until another look, where a module is being imported
GRACE = 5.0  # seconds after which a process that does not end its run by itself is ended


class TimedOut(BaseException):
    """The run took longer than it may; no `except Exception` of the user's code is to take it."""


def late(limit: float) -> str:
    """What is written down of a run that took longer."""
    return f"took longer than the time limit of {limit:g} s"


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Raise TimedOut in what runs inside, after so long: a Python step that waits for ever ends too.

    It takes a main thread and a system with timers. Code that never comes back to Python is ended by whoever started
    this process, if that is a worker.
    """
    if seconds is None or not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    outer = signal.getitimer(signal.ITIMER_REAL)[0]  # a study's deadline, which goes on
    due = time.monotonic() + outer

    def ring(number: int, frame: FrameType | None) -> None:
        if outer and outer < seconds and callable(before):
            before(number, frame)
        if _importing(frame):  # half a module would be left for every later run
            signal.setitimer(signal.ITIMER_REAL, SOON)
            return
        raise TimedOut(late(seconds))

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, min(seconds, outer or seconds))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if outer:
            signal.setitimer(signal.ITIMER_REAL, max(0.001, due - time.monotonic()))


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def overdue(limit: float | None, waited: float, runs: int = 1) -> bool:
    """Whether a process that works at so many runs should have given one by now."""
    return limit is not None and waited > limit * runs + GRACE
