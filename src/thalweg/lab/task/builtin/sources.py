"""Python's own standard library as text: real data that every machine with Python has."""

from __future__ import annotations

import hashlib
import sysconfig
from functools import lru_cache
from pathlib import Path

from thalweg.lab.errors import TaskError

# Left out: tests and their data, what pip adds, and tools that not every system's Python comes with.
LEFT_OUT = {"test", "tests", "idlelib", "lib2to3", "site-packages", "dist-packages", "__pycache__", "turtledemo"}


@lru_cache(maxsize=1)
def files() -> tuple[tuple[str, str], ...]:
    """(name, text) of each module in an order that is mixed, and the same on every machine with this library.

    Raises:
        TaskError: where Python came without its sources.
    """
    folder = Path(sysconfig.get_path("stdlib"))
    paths = [path for path in folder.rglob("*.py") if not LEFT_OUT & set(path.relative_to(folder).parts)]
    named = [(path.relative_to(folder).as_posix(), path) for path in paths]
    named.sort(key=lambda pair: hashlib.sha256(pair[0].encode()).digest())
    found = tuple((name, path.read_text(encoding="utf-8", errors="replace")) for name, path in named)
    if sum(len(text) for _, text in found) < 2_000_000:
        raise TaskError(f"task: needs the sources of Python's standard library; {folder} has {len(found)} files")
    return found
