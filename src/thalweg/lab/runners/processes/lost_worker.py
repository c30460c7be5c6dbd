"""The trial of a job whose process ended under it: nobody is left to tell how far it came."""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Iterator, Mapping

from thalweg.lab.passwords import without_passwords
from thalweg.lab.training.failure import TIMED_OUT
from thalweg.lab.training.job import Job
from thalweg.lab.training.time_limit import late
from thalweg.lab.training.trial import Curve, Trial


def lost_trial(job: Job, message: str, seconds: float = 0.0, status: str = "crashed") -> Trial:
    """A failed trial without a curve."""
    return Trial(
        id=job.id,
        phase=job.phase,
        index=job.index,
        optimizer=job.setting.optimizer,
        settings=dict(job.setting.settings),
        seed=job.setting.seed,
        status=status,
        message=without_passwords(message),
        steps=0,
        curve=Curve(),
        test_loss=None,
        test_metric=None,
        seconds=round(seconds, 4),
        started=round(time.time() - seconds, 3),
        batch_size=job.setting.batch_size,
    )


def after_limit(jobs: Mapping[str, Job], todo: deque[list[Job]]) -> Iterator[Trial]:
    """What a worker was at when its time was up: one job has timed out, of several each is tried by itself."""
    if len(jobs) > 1:
        todo.extendleft([job] for job in jobs.values())
        return
    for job in jobs.values():
        assert job.limit is not None
        yield lost_trial(job, late(job.limit), job.limit, TIMED_OUT)


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
