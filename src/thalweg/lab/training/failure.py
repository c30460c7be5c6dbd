"""What a training that raised is called in the study."""

from __future__ import annotations

import torch

from thalweg.lab.passwords import without_passwords

OUT_OF_MEMORY = "out of memory"
TIMED_OUT = "timed out"
FAILURES = {  # what became of a run that failed, in a sentence
    "diverged": "diverged",
    "crashed": "crashed",
    OUT_OF_MEMORY: "ran out of memory",
    TIMED_OUT: "ran out of time",
}
STATUSES = ("done", *FAILURES)
# "done", "diverged", OUT_OF_MEMORY, TIMED_OUT, "crashed")
# torch's words on a CPU and on a device: it has a class of its own only for the latter.
WORDS = ("not enough memory", "out of memory", "can't allocate memory", "cannot allocate memory", "bad alloc")
LONGEST = 500  # characters of a message that are kept


def failure(error: BaseException) -> tuple[str, str]:
    """The status of a training that ended with this error, "out of memory" or "crashed", and a message."""
    text = str(error).strip()
    full = isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(words in text.lower() for words in WORDS)
    )
    return OUT_OF_MEMORY if full else "crashed", without_passwords(f"{type(error).__name__}: {text}")[:LONGEST]
