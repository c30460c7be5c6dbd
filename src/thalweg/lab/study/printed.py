"""What a task's own code prints while it trains goes to the study's log.txt, not between the lines of the progress."""

from __future__ import annotations

import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, TextIO, TypeVar

T = TypeVar("T")
LOG = "log.txt"


class Printed:
    """Standard output of one thread, appended to a file that is made by the first print; other threads keep theirs.

    The progress is drawn by threads of its own while a run goes on.
    """

    def __init__(self, path: Path, terminal: TextIO) -> None:
        self.path, self.terminal, self.thread = path, terminal, threading.get_ident()

    def write(self, text: str) -> int:
        if threading.get_ident() != self.thread:
            return self.terminal.write(text)
        with open(self.path, "a", encoding="utf-8", errors="replace") as log:
            return log.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.terminal, name)


def log_prints(items: Iterator[T], folder: Path) -> Generator[T]:
    """The same items; what is printed while each is made is kept in the folder."""
    try:
        while True:
            with redirect_stdout(Printed(folder / LOG, sys.stdout)):
                try:
                    item = next(items)
                except StopIteration:
                    return
            yield item
    finally:
        getattr(items, "close", lambda: None)()
