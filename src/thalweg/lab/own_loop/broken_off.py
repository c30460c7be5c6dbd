"""Runs within which the study's own process ended: a crash of native code, a signal, a machine that was switched off.

Python sees nothing of it, so a file in the run's folder says that its function is at work; Ctrl-C takes it away.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path

AT_WORK = "at-work"  # in a run's folder: the identity of its trial


@contextmanager
def marked(folder: Path, trial: str) -> Iterator[None]:
    """What is run inside is the function of this trial."""
    (folder / AT_WORK).write_text(trial, encoding="utf-8")
    try:
        yield
    finally:
        (folder / AT_WORK).unlink(missing_ok=True)


def broken_off(runs: Path, ended: Container[str]) -> str:
    """The name of a run that was left so and whose trial has not ended since; empty without one."""
    marks = sorted(runs.glob(f"*/{AT_WORK}"))
    return next((mark.parent.name for mark in marks if mark.read_text(encoding="utf-8") not in ended), "")
