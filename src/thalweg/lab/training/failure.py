"""What a run that raised is called in the study: one place tells, for every runner."""

from __future__ import annotations

import torch

from thalweg.lab.training.divergence import Diverged
from thalweg.lab.training.time_limit import TimedOut
from thalweg.lab.training.trial import Status

# torch's words on a CPU and on a device: it has a class of its own only for the latter.
WORDS = ("not enough memory", "out of memory", "can't allocate memory", "cannot allocate memory", "bad alloc")
LONGEST = 500  # characters of a message that are kept


def failure(error: BaseException) -> tuple[Status, str]:
    """The status of a run that ended with this error, and a message."""
    text = str(error).strip()
    if isinstance(error, Diverged):
        return Status.DIVERGED, text
    if isinstance(error, TimedOut):
        return Status.TIMED_OUT, text
    return Status.OUT_OF_MEMORY if out_of_memory(error) else Status.CRASHED, f"{type(error).__name__}: {text}"[:LONGEST]


def out_of_memory(error: BaseException) -> bool:
    """Whether it says that memory ran out, the machine's or a device's."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error).lower() for words in WORDS)
    )
