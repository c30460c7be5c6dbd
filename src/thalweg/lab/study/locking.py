"""A lock on an open file that ends with the process, however that ends."""

from __future__ import annotations

from typing import IO


class Busy(Exception):
    """Another process has it."""


def lock(file: IO[str]) -> None:
    """Take the lock, or say that another process has it.

    Raises:
        Busy: it is taken.
    """
    try:
        import fcntl
    except ModuleNotFoundError:  # Windows
        _lock_a_byte(file)
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise Busy from None


def _lock_a_byte(file: IO[str]) -> None:
    import msvcrt

    try:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]
    except OSError:
        raise Busy from None
