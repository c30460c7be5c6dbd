"""The lab: which optimizer, which learning rate, for this model and this data, with the evidence."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thalweg.lab.errors import LabError, StudyError, TaskError
    from thalweg.lab.results import Answer, Comparison, JointComparison, RangeTest, Result, Sweep, Tuning
    from thalweg.lab.task.load import load_task
    from thalweg.lab.task.task import Task

__all__ = [
    "Answer",
    "Comparison",
    "JointComparison",
    "LabError",
    "RangeTest",
    "Result",
    "StudyError",
    "Sweep",
    "Task",
    "TaskError",
    "Tuning",
    "load_task",
]

_HOME = {
    "Answer": "thalweg.lab.results",
    "JointComparison": "thalweg.lab.results",
    "Comparison": "thalweg.lab.results",
    "RangeTest": "thalweg.lab.results",
    "Result": "thalweg.lab.results",
    "Sweep": "thalweg.lab.results",
    "Task": "thalweg.lab.task.task",
    "Tuning": "thalweg.lab.results",
    "LabError": "thalweg.lab.errors",
    "StudyError": "thalweg.lab.errors",
    "TaskError": "thalweg.lab.errors",
    "load_task": "thalweg.lab.task.load",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: `import thalweg` stays light."""
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
