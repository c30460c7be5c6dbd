"""How long a run is: its steps and its evaluations."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thalweg.lab.task.task import Task


def evaluations(task: Task, epochs: int) -> int:
    """How often a run is evaluated: each epoch, or that often within its steps, but at most once a step."""
    return epochs if task.steps is None else min(epochs, task.steps)


def total_steps(task: Task, epochs: int) -> int | None:
    """How many gradient steps a run has; None where the data cannot tell."""
    if task.steps is not None:
        return task.steps
    length = task.sources["train"].length
    return None if length is None else -(-length // task.accumulate) * epochs
