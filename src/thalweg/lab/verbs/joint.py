"""A comparison over several tasks: a study of each in a subfolder, one after the other, then one verdict."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from thalweg.lab.arguments import file_name, folder_of, seconds
from thalweg.lab.errors import LabError
from thalweg.lab.results import Comparison, JointComparison
from thalweg.lab.task.task import Task
from thalweg.lookup import listed

Loaded = tuple[Task, str | None, Path]  # a task, how to load it again, and the folder that this was asked in


def tasks_of(task: Any) -> list[Any]:
    """What stands between commas, or in a list.

    >>> tasks_of("digits,charlm"), tasks_of(["digits"])
    (['digits', 'charlm'], ['digits'])
    """
    tasks: list[Any] = listed(task) if isinstance(task, str) else task if isinstance(task, list) else [task]
    if not tasks:
        raise LabError(f"task: got {task!r}; must be a task, or several with commas: digits,charlm")
    return tasks


def jointly(
    tasks: Sequence[Loaded],
    compare: Callable[..., Comparison],
    preset: str,
    budget: str | float | None,
    out: str | Path | None,
) -> JointComparison:
    """A study of each task, resumed where it is there; what is wrong with any of them is said before anything runs.

    Args:
        tasks: as they were loaded; their names must differ.
        compare: makes the study of one task, given its `budget` and `out`.
        budget: of all together; each task gets an equal part.
        out: the folder of them all; `studies/TASK-TASK-PRESET` if None.
    """
    names = [task.name for task, _, _ in tasks]
    if twice := [name for name, count in Counter(map(file_name, names)).items() if count > 1]:
        raise LabError(f"task: got {twice[0]!r} twice; must be tasks of different names")
    for task, _, _ in tasks:
        task.check()
    total = seconds("budget", budget)
    folder = folder_of(out, tasks[0][2], *names, preset)
    studies = {
        loaded[0].name: compare(
            loaded,
            budget=None if total is None else total / len(tasks),
            out=folder / file_name(loaded[0].name),
            began=time.monotonic(),
        )
        for loaded in tasks
    }
    result = JointComparison(folder, studies)
    result.save()
    return result
