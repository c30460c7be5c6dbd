"""Find a task by what the user typed: `digits`, `path/to/my_task.py:task` or `package.module:task`."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from thalweg.lab.errors import TaskError, first_line
from thalweg.lab.task.builtin import BUILT_IN
from thalweg.lab.task.own_loop import takes_a_run
from thalweg.lab.task.task import Task
from thalweg.lookup import did_you_mean

ALLOWED = (
    "a built-in task (`thalweg tasks` lists them), mnist:path/to/folder, path/to/my_task.py:task or package.module:task"
)

FILE_MODULE = "thalweg_task_"  # how the modules of tasks' files are called


def load_task(spec: str) -> Task:
    """The task that `spec` names: after the colon (default `task`) a Task, or a function that makes one.

    Args:
        spec: a built-in task (digits), mnist:FOLDER, my_task.py:task or package.module:task.

    Raises:
        TaskError: in one line, what is wrong with the name, the file or what it holds.
    """
    found = load(spec)
    if not isinstance(found, Task):
        raise TaskError(f"task: {spec} is a training loop of your own; must be a thalweg.Task here")
    return found


def load(spec: str) -> Task | tuple[Callable[[Any], Any], str, str]:
    """The task that `spec` names, or of a training loop of the user's own the function, a name and the source.

    Raises:
        TaskError: as `load_task` has it.
    """
    if spec in BUILT_IN:
        return BUILT_IN[spec].load()
    if spec.startswith("mnist:"):
        from thalweg.lab.task.builtin import mnist

        return mnist.task(spec.removeprefix("mnist:"))
    where, colon, attribute = spec.rpartition(":")
    if not colon:
        where, attribute = spec, ""
    if where.endswith(".py"):
        path = Path(where)
        source, module = _import_file(path)
        return _take(module, attribute, where, path.stem, source)
    if not colon:
        near = did_you_mean(spec, BUILT_IN, most=3)
        raise TaskError(f"task: got {spec!r}{f'{near} It' if near else ';'} must be {ALLOWED}")
    module = _running(where, lambda: importlib.import_module(where))
    source = Path(module.__file__).read_text() if module.__file__ else ""
    return _take(module, attribute, where, where.rpartition(".")[2], source)


def _import_file(path: Path) -> tuple[str, ModuleType]:
    """Run a file as a module, with its own folder on the path as `python my_task.py` would have it."""
    try:
        source = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise TaskError(f"task: no file {path}; must be {ALLOWED}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"task: {path} cannot be read: {error}") from None
    name = f"{FILE_MODULE}{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
    found = importlib.util.spec_from_file_location(name, path)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    sys.modules[name] = module  # a DataLoader's workers find the file's classes by this name
    loader = found.loader
    _running(str(path), lambda: loader.exec_module(module))
    return source, module


def _take(
    module: ModuleType, attribute: str, where: str, stem: str, source: str
) -> Task | tuple[Callable[[Any], Any], str, str]:
    if not attribute:
        attribute = "task" if hasattr(module, "task") or not takes_a_run(getattr(module, "train", None)) else "train"
    function = getattr(module, attribute, None)
    if function is not None and takes_a_run(function):
        return function, stem, source
    if not hasattr(module, attribute):
        tasks = [name for name, value in vars(module).items() if isinstance(value, Task)]
        found = (
            f"the tasks in it are {', '.join(tasks)}: {where}:{tasks[0]}"
            if tasks
            else (
                "it has no Task and no function train(run); must have one of the two, such as task = thalweg.Task(...)"
            )
        )
        raise TaskError(f"task: {where} has no attribute {attribute!r}; {found}")
    task = getattr(module, attribute)
    if isinstance(task, tuple) and len(task) == 2 and hasattr(task[0], "training_step"):
        from thalweg.lab.task.adapters.lightning import from_lightning

        task = partial(from_lightning, *task)
    if callable(task) and not isinstance(task, Task):
        task = _running(f"{where}:{attribute}", task)
    if not isinstance(task, Task):
        raise TaskError(
            f"task: {where}:{attribute} is {type(task).__name__}; must be a thalweg.Task, a function "
            "without arguments that returns one, or a training loop of your own, train(run)"
        )
    return replace(task, name=stem if task.name == "task" else task.name, source=task.source or source)


def _running(where: str, action: Callable[[], Any]) -> Any:
    """Run the user's code; what it raises becomes one line with the place it happened."""
    try:
        return action()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if isinstance(error, SyntaxError):
            line = error.lineno
        else:
            lines = [
                frame.lineno
                for frame in traceback.extract_tb(error.__traceback__)
                if where.partition(":")[0] in frame.filename
            ]
            line = lines[-1] if lines else None
        place = f"{where}, line {line}" if line else where
        text = first_line(error)
        if isinstance(error, TaskError):
            raise TaskError(f"{place}: {text}") from error
        raise TaskError(f"task: {place}: {type(error).__name__}: {text}") from error
