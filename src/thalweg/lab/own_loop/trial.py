"""One job to its trial, whatever kind of task it is of."""

from __future__ import annotations

from thalweg.lab.own_loop.command import run_command
from thalweg.lab.own_loop.function import run_function
from thalweg.lab.task.own_loop import OwnLoop
from thalweg.lab.task.task import Task
from thalweg.lab.training.job import Job
from thalweg.lab.training.loop import run_trial
from thalweg.lab.training.trial import Trial


def trial_of(task: Task, job: Job) -> Trial:
    """Train once. Whatever goes wrong in it is written down, not raised."""
    if not isinstance(task, OwnLoop):
        return run_trial(task, job)
    return run_command(task, job) if task.command else run_function(task, job)
