"""The command that a study was asked for by, kept in its folder: whoever finds it unfinished can go on with it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from thalweg.lab.passwords import without_passwords
from thalweg.lab.study.records import read_json
from thalweg.lab.study.store import write_atomically
from thalweg.lab.study.tasks import read_tasks

COMMAND = "command.json"
_WORDS: ContextVar[tuple[str, ...]] = ContextVar("words", default=())


@contextmanager
def typed(words: Sequence[str]) -> Iterator[None]:
    """What is run inside was asked for by this command, the words after `thalweg`; by none where there are none."""
    token = _WORDS.set(tuple(words))
    try:
        yield
    finally:
        _WORDS.reset(token)


def keep_typed(folder: Path) -> None:
    """Write down by which command the study was asked for, if by one; beside all tasks too, where it is one of several.

    Done as soon as the folder is the study's: whoever interrupts it before its first run has the command.
    """
    if words := _WORDS.get():
        for each in [folder, folder.parent] if read_tasks(folder.parent) else [folder]:
            keep_command(each, words)


def keep_command(folder: Path, words: Sequence[str]) -> None:
    """Write the words after `thalweg` down, and where they were typed: a folder's name holds there alone."""
    kept = {"words": [without_passwords(word) for word in words], "in": str(Path.cwd())}
    write_atomically(folder / COMMAND, lambda: json.dumps(kept, indent=2) + "\n")


def to_resume(folder: Path) -> str:
    """What resumes the study in this folder, in words: its command where that is known.

    Raises:
        StudyError: for a damaged file.
    """
    return _again(folder, "to resume") or "rerun its command to resume"


def to_record(folder: Path) -> str:
    """What records the study in this folder, as `to_resume` says it."""
    return _again(folder, "to record it", "--record") or "rerun its command with --record"


def if_a_run_ended_it(folder: Path, run: str) -> str:
    """What to do where the study's process ended within a run, and the run may be why."""
    on = _again(folder, "let each run have a process of its own", "--on", "processes")
    return f"the study's process ended within {run}; if the run ended it, {on or 'rerun with --on processes'}"


def _again(folder: Path, purpose: str, *more: str) -> str:
    found = read_json(folder / COMMAND, _fault)
    if found is None:
        return ""
    where = "" if found["in"] == str(Path.cwd()) else f" (in {found['in']})"
    return f"{purpose}{where}: thalweg {shlex.join([*found['words'], *more])}"


def _fault(value: Any) -> str:
    words = value.get("words") if isinstance(value, dict) else None
    if not isinstance(words, list) or not all(isinstance(word, str) for word in [*words, value.get("in")]):
        return "must be an object of words and the folder they were typed in"
    return ""
