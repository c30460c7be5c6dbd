"""A comparison over several tasks: a study of each in a subfolder, one after the other, then one verdict."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from thalweg.lab.arguments import file_name, folder_of, seconds
from thalweg.lab.errors import LabError, StudyError
from thalweg.lab.results import Comparison, JointComparison
from thalweg.lab.study.deadline import larger
from thalweg.lab.study.records import TASKS, find_spec, why
from thalweg.lab.study.store import beside, keep_both
from thalweg.lab.study.tasks import read_tasks, write_tasks
from thalweg.lab.task.task import Task
from thalweg.lookup import listed

BUDGET, OUT = "--budget", "--out"
LOCK = "lock"
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
    by_name = dict(zip(names, tasks, strict=True))
    with _opened(folder, names) as folders:
        try:
            studies = {
                name: compare(
                    by_name[name],
                    budget=None if total is None else total / len(tasks),
                    out=inner,
                    began=time.monotonic(),
                )
                for name, inner in folders.items()
            }
        except LabError as error:
            if error.then is None or OUT not in error.then[1]:
                raise
            raise _of_all(error, error.then, folder, len(tasks)) from error
    result = JointComparison(folder, studies)
    result.save()
    return result


@contextmanager
def _opened(folder: Path, names: Sequence[str]) -> Iterator[Mapping[str, Path]]:
    """The folders of the studies, those that are there first; what names them is written, and `thalweg status` goes by
    it. Where the first of them is refused, all is as it was before.

    Raises:
        StudyError: for a folder that is a single study's or one of other tasks, is in use, or cannot be written.
    """
    before = _before(folder, names)
    lock = FileLock(folder / LOCK, timeout=0, thread_local=False)
    new = {name: folder / file_name(name) for name in names if name not in before}
    folders = {**before, **new}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        if new:
            write_tasks(folder, folders)
    except Timeout:
        raise StudyError(f"out: another process is working in {folder}; wait for it or choose another") from None
    except (OSError, UnicodeError) as error:
        raise StudyError(f"out: cannot write to {folder}: {why(error)}") from None
    try:
        yield folders
    except LabError:
        if before and new and not any(inner.exists() for inner in new.values()):
            write_tasks(folder, before)
        raise
    finally:
        begun = before or any(inner.exists() for inner in new.values())
        lock.release()
        if not begun:
            for name in (TASKS, LOCK):
                (folder / name).unlink(missing_ok=True)
            with suppress(OSError):  # there was more in it
                folder.rmdir()


def _before(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """The folders of the tasks that a joint study has already, to which more may be added."""
    if find_spec(folder) is not None:
        raise keep_both(folder, f"is the study of one task; must be another folder for {len(names)} tasks")
    before = read_tasks(folder) or {}
    if not set(before) <= set(names):
        raise keep_both(folder, f"is a comparison over {', '.join(before)}; you ask for {', '.join(names)}")
    return before


def _of_all(error: LabError, then: tuple[str, Mapping[str, str]], folder: Path, tasks: int) -> LabError:
    """What one task's study was refused for, with the next command of all of them."""
    purpose, changed = then
    if BUDGET in changed:
        both = {BUDGET: larger(tasks * (seconds("budget", changed[BUDGET]) or 0.0) / 2), OUT: str(folder)}
        return type(error)(*error.args, then=(purpose, both))
    other = str(beside(folder))
    advice = error.advice and error.advice.replace(changed[OUT], other)
    return type(error)(error.said, then=(purpose, {OUT: other}), advice=advice)
