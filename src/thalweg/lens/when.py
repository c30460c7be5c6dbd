"""Which steps are read, counted from 1, and for what."""

from __future__ import annotations

EARLY, EVERY = 32, 16  # steps 1 to 32 are watched, then every 16th
OUTPUT_EVERY = 8  # steps, after the first: the output is read more often, for the course of the loss
ROWS_EVERY = 64  # steps, after the first, at which rows without any gradient are looked for


def is_watched(step: int) -> bool:
    """Whether its numbers are read."""
    return 1 <= step <= EARLY or (step > 0 and step % EVERY == 0)


def is_heard(step: int) -> bool:
    """Whether its passes are: the model's output, and how gradients come together."""
    return is_watched(step) or step % OUTPUT_EVERY == 0


def are_rows_read(step: int) -> bool:
    """Whether rows without any gradient are looked for."""
    return step <= EARLY or step % ROWS_EVERY == 0
