"""A run of a function `train(run)`, in this process."""

from __future__ import annotations

import traceback

import torch

from thalweg.lab.isolation import preserving_process
from thalweg.lab.own_loop.attempt import Attempt
from thalweg.lab.own_loop.broken_off import marked
from thalweg.lab.own_loop.reports import checked_value
from thalweg.lab.own_loop.run import Ended, Run
from thalweg.lab.random.seeds import seed_everything
from thalweg.lab.task.own_loop import OwnLoop
from thalweg.lab.training.job import Job
from thalweg.lab.training.time_limit import TimedOut, time_limit
from thalweg.lab.training.trial import Trial


def run_function(loop: OwnLoop, job: Job) -> Trial:
    """Call the function once. Whatever goes wrong in it is written down, not raised."""
    assert loop.function is not None
    attempt = Attempt(loop, job)
    if attempt.reached():
        return attempt.finished(None, "rung")
    run = Run(job.entry, job.setting.settings, seed=job.setting.seed, folder=attempt.folder)
    run.attach(attempt.reports, attempt.look)
    with preserving_process("cpu"):
        seed_everything(job.setting.seed, "cuda" if torch.cuda.is_available() else "cpu")
        try:
            with marked(attempt.folder, job.id), time_limit(job.limit):
                value = loop.function(run)
            return attempt.finished(None if value is None else checked_value(value))
        except Ended as end:
            return attempt.finished(None, end.reason)
        except (Exception, SystemExit, TimedOut) as error:
            return attempt.failed(error, attempt.log(traceback.format_exc()))
