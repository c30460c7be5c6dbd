"""The trial of a job whose process ended under it: nobody is left to tell how far it came."""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Iterator, Mapping

from thalweg.lab.training.job import Job
from thalweg.lab.training.time_limit import late
from thalweg.lab.training.trial import Curve, Outcome, Status, Trial


def lost_trial(job: Job, message: str, seconds: float = 0.0, status: Status = Status.CRASHED) -> Trial:
    """A failed trial without a curve."""
    return Trial.of(job, status, message, Curve(), Outcome(), seconds, time.time() - seconds)


def after_limit(jobs: Mapping[str, Job], todo: deque[list[Job]]) -> Iterator[Trial]:
    """What a worker was at when its time was up: one job has timed out, of several each is tried by itself."""
    if len(jobs) > 1:
        todo.extendleft([job] for job in jobs.values())
        return
    for job in jobs.values():
        assert job.limit is not None
        yield lost_trial(job, late(job.limit), job.limit, Status.TIMED_OUT)


def cause(code: int | None) -> str:
    """What a process's exit code says about its end."""
    if code is None:
        return "stopped answering"
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was ended by {name}" + (", as the system does when memory runs out" if name == "SIGKILL" else "")
