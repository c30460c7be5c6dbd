"""The command that a study was asked for by, kept in its folder: whoever finds it unfinished can go on with it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from thalweg.lab.passwords import without_passwords
from thalweg.lab.study.records import read_json
from thalweg.lab.study.store import write_atomically

COMMAND = "command.json"


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
