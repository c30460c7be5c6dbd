"""A line in the terminal while a run goes on."""

from __future__ import annotations

import time
from typing import TextIO

from thalweg.lens.record import Record

PAUSE = 0.5  # seconds between two lines


class Live:
    """Writes over its own line, at most twice a second; where there is no terminal, a line every 30 seconds."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.terminal = stream.isatty()
        self.due = 0.0

    def show(self, record: Record) -> None:
        """The newest numbers, where it is time."""
        if (now := time.monotonic()) < self.due:
            return
        self.due = now + (PAUSE if self.terminal else 30.0)
        self.stream.write(f"\r\x1b[K{line(record)}" if self.terminal else f"{line(record)}\n")
        self.stream.flush()

    def end(self) -> None:
        """Leave the last line where it is."""
        if self.terminal and self.due:
            self.stream.write("\n")


def line(record: Record) -> str:
    """The newest watched step of a run in one line."""
    step = max(record.tensors, default=0)
    parts = [f"lens, step {record.steps}"]
    if record.losses:
        parts.append(f"loss {list(record.losses.values())[-1]:.4g}")
    if step:
        weight = record.sum(step, "weight")
        ratio = (record.sum(step, "step") / weight) ** 0.5 if weight else float("nan")
        parts += [f"gradient {record.sum(step, 'gradient') ** 0.5:.3g}", f"update/weight {ratio:.2g}"]
    if record.look_back:
        parts.append(f"look-back {list(record.look_back.values())[-1]:+.2f}")
    return ", ".join(parts)
