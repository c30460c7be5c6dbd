"""`thalweg lens TASK`: one optimizer on one task, trained once and watched."""

from __future__ import annotations

from typing import Any

from thalweg.lab.errors import LabError
from thalweg.lab.isolation import throwing_away
from thalweg.lab.recording.watched import Watched, watched
from thalweg.lab.study.optimizers import resolve
from thalweg.lab.task.load import load_task
from thalweg.lab.task.task import Task
from thalweg.lab.training.job import Job, fewer_steps
from thalweg.lab.training.trial import Configuration


@throwing_away()
def observe(
    task: Task | str,
    optimizer: Any,
    *,
    lr: float | None = None,
    epochs: int | None = None,
    seed: int = 0,
    tried: bool = False,
    language: str = "en",
) -> Watched:
    """Train a task once with an optimizer, as a study would, and tell what is wrong with the run.

    Args:
        task: a Task, or what the command line takes for one.
        optimizer: a name from the catalogue, with settings in brackets, or a torch optimizer class.
        lr: the learning rate; None: the optimizer's default.
        epochs: at least 1; None: the task's.
        seed: of the model and the batches, as in a study.
        tried: try the advice of the findings in short runs, and say what it did.
        language: of what is told, "en" or "zh".

    Raises:
        LabError: naming the argument, its value and what is allowed; for a run that fails before its first step.
    """
    if epochs is not None and epochs < 1:
        raise LabError(f"epochs: got {epochs!r}; must be at least 1")
    if lr is not None and not lr > 0:
        raise LabError(f"lr: got {lr!r}; must be above 0")
    own = load_task(task) if isinstance(task, str) else task
    entries = resolve(optimizer)
    if len(entries) > 1:
        raise LabError(f"optimizer: got {len(entries)}; must be one")
    own.check()
    configuration = Configuration(entries[0].name, {} if lr is None else {"lr": lr}, seed)
    length = epochs or own.epochs
    steps = fewer_steps(own.steps, length, own.epochs)
    job = Job(configuration.identity(own.name), "search", 0, entries[0], configuration, length, steps)
    try:
        return watched(own, job, tried=tried, language=language)
    except (RuntimeError, ValueError) as error:
        raise LabError(f"lens: {error}") from error
