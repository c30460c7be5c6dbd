"""The kernel cache: files that only this user can have written, and never a reason to fail.

What is read back runs as code. So a file counts only where it and its folder belong to this user (or to root) and are
writable by nobody else; else it is as if it were not there. A cache that is missing, full, read-only, damaged or not to
be trusted costs a compilation. Folders are tried in order: THALWEG_CACHE, else XDG_CACHE_HOME/thalweg, else
~/.cache/thalweg; then thalweg-UID in the temporary folder. All are safe to delete.
"""

from __future__ import annotations

import logging
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

# A link is not followed, and a pipe not waited for.
READ = os.O_RDONLY | sum(getattr(os, flag, 0) for flag in ("O_BINARY", "O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK"))


def folders() -> Iterator[Path]:
    """Where kernels may be kept, best first."""
    chosen = os.environ.get("THALWEG_CACHE")
    with suppress(RuntimeError, OSError):  # no HOME and a user that the system does not know; no working folder
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") if not chosen else None
        yield (home / "thalweg" if home else Path(chosen or "").expanduser()).absolute()
    with suppress(OSError):  # no temporary folder
        yield Path(tempfile.gettempdir()) / f"thalweg-{_user()}"


def read(name: str) -> tuple[Path, bytes] | None:
    """A file of the cache and what it holds; None where there is none to be trusted."""
    before: list[Path] = []
    for folder in folders():
        with suppress(OSError):
            if _trusted(folder):
                content = _content(folder / name)
                return _write(before, name, content) or folder / name, content
        before.append(folder)
    return None


def write(name: str, content: bytes) -> Path | None:
    """Put a file into the first folder that takes it: all of it or nothing. None where no folder does."""
    return _write(folders(), name, content)


def _write(into: Iterable[Path], name: str, content: bytes) -> Path | None:
    for folder in into:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if _trusted(folder):
                _replace(folder / name, content)
                return folder / name
        except OSError as error:
            logging.getLogger("thalweg").debug("kernels are not kept in %s: %s", folder, error)
    return None


def _user() -> int | str:
    return os.geteuid() if hasattr(os, "geteuid") else "cache"


def _is_trusted(status: os.stat_result) -> bool:
    """Whether nobody but this user, or root, can have written it. Windows' profiles are their users' own."""
    if not hasattr(os, "geteuid"):
        return True
    return status.st_uid in (os.geteuid(), 0) and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _trusted(folder: Path) -> bool:
    status = folder.stat()
    if not stat.S_ISDIR(status.st_mode):
        return False
    if not _is_trusted(status):
        _tell(folder)
    return _is_trusted(status)


@cache
def _tell(folder: Path) -> None:
    """Once in a process."""
    logging.getLogger("thalweg").warning(
        "the kernel cache %s is not used: others may write to it, and what is read from it runs as code. It must "
        "belong to this user or root and be writable by nobody else (chmod go-w)",
        folder,
    )


def _content(path: Path) -> bytes:
    """OSError where it is not a plain file of this user's."""
    handle = os.open(path, READ)
    with open(handle, "rb") as file:
        status = os.fstat(handle)
        if not (stat.S_ISREG(status.st_mode) and _is_trusted(status)):
            raise PermissionError(f"{path} is not a file that only this user can write")
        return file.read()


def _replace(path: Path, content: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with open(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
