"""What names the studies of a comparison over several tasks: tasks.json, there from the beginning."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thalweg.lab.study.records import TASKS, read_json
from thalweg.lab.study.store import write_atomically


def write_tasks(folder: Path, folders: Mapping[str, Path]) -> None:
    """Write the name of each task's folder, which is in this one, by task."""
    names = {task: inner.name for task, inner in folders.items()}
    write_atomically(folder / TASKS, lambda: json.dumps({"tasks": names}, indent=2) + "\n")


def read_tasks(folder: Path) -> dict[str, Path] | None:
    """The folders of the tasks' studies, by task, begun or not; None for a folder that is not of several tasks.

    Raises:
        StudyError: for a damaged file, or one that points out of its folder.
    """
    found = read_json(folder / TASKS, _fault)
    return None if found is None else {name: folder / inner for name, inner in found["tasks"].items()}


def _fault(value: Any) -> str:
    """What is wrong with tasks.json; the folders it names must be in its own."""
    tasks = value.get("tasks") if isinstance(value, dict) else None
    if not isinstance(tasks, dict) or not tasks:
        return "tasks must be an object of folders by task"
    wrong = [inner for inner in tasks.values() if not _is_a_child(inner)]
    return f"{wrong[0]!r} must be the name of a subfolder" if wrong else ""


def _is_a_child(inner: Any) -> bool:
    return isinstance(inner, str) and inner not in ("", ".", "..") and not set(inner) & set("/\\\0")
