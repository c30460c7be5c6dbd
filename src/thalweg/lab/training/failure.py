"""What a run that raised is called in the study: one place tells, for every runner."""

from __future__ import annotations

import torch

from thalweg.lab.training.divergence import Diverged, NotANumber
from thalweg.lab.training.time_limit import TimedOut
from thalweg.lab.training.trial import Status

# torch's words on a CPU and on a device: it has a class of its own only for the latter.
WORDS = ("not enough memory", "out of memory", "can't allocate memory", "cannot allocate memory", "bad alloc")
# Of OSErrors: a path that is wrong is wrong the next time too.
OWN_FAULTS = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError)
_KINDS: tuple[type[OSError], ...] = (OSError, *OSError.__subclasses__(), *ConnectionError.__subclasses__())
OUTSIDE = {"IOError", "EnvironmentError", *(kind.__name__ for kind in _KINDS if kind not in OWN_FAULTS)}
LONGEST = 500  # characters of a message that are kept


def failure(error: BaseException) -> tuple[Status, str]:
    """The status of a run that ended with this error, and a message."""
    text = str(error).strip()
    if isinstance(error, Diverged):
        return Status.DIVERGED, text
    if isinstance(error, NotANumber):
        return Status.NOT_A_NUMBER, text
    if isinstance(error, TimedOut):
        return Status.TIMED_OUT, text
    message = f"{type(error).__name__}: {text}"[:LONGEST]
    if out_of_memory(error):
        return (Status.INTERRUPTED if _beside_others(error) else Status.OUT_OF_MEMORY), message
    outside = isinstance(error, OSError) and not isinstance(error, OWN_FAULTS)
    return (Status.INTERRUPTED if outside else Status.CRASHED), message


def from_outside(kind: str) -> bool:
    """Whether an exception of this name is the machine's fault: a disk, a connection, another process."""
    return kind in OUTSIDE


def _beside_others(error: BaseException) -> bool:
    """Whether a GPU's memory ran out while other processes had a tenth of it."""
    if not (isinstance(error, torch.OutOfMemoryError) and torch.cuda.is_available()):
        return False
    free, total = torch.cuda.mem_get_info()
    return total - free - torch.cuda.memory_reserved() > 0.1 * total


def out_of_memory(error: BaseException) -> bool:
    """Whether it says that memory ran out, the machine's or a device's."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error).lower() for words in WORDS)
    )
