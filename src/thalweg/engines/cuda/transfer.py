"""What kernels read, on the device: the list of chunks, the addresses, the rows of numbers.

The host keeps a copy of what it has sent. A step compares, which takes microseconds, and sends the stretch that differs
in one asynchronous copy: nearly always the rows of numbers alone, and the gradients' addresses where these have moved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from thalweg.engines.cuda import device as card
from thalweg.engines.cuda.source import BLOCK

Tensor = torch.Tensor
WORD = 8  # bytes
ALIGNED = 2  # words: Triton compiles anew for pointers that are not multiples of 16 bytes
Section = tuple[int, str]  # how many numbers of which dtype


AHEAD = 8  # captures that may follow each other without a step outside


class Ahead:
    """Memory that boards are sent from, got before it is needed: while a graph is captured none can be had.

    A piece that was taken is its graph's for good: every replay copies from it.
    """

    def __init__(self, words: int, device: torch.device) -> None:
        self.words, self.device = words, device
        self._pieces: list[Tensor] = []

    def fill(self) -> None:
        """Have as much as `AHEAD` captures take."""
        if len(self._pieces) < AHEAD:
            self._pieces += torch.split(card.staging(self.words * AHEAD, self.device), self.words)

    def take(self) -> Tensor:
        """A piece; RuntimeError where there is none left."""
        if not self._pieces:
            raise RuntimeError(
                f"{AHEAD} steps or more were captured into CUDA graphs one after another: take a step outside a capture"
            )
        return self._pieces.pop()


class Board:
    """Named arrays that the host writes (`host`) and kernels read (`device`): one piece of memory on either side."""

    def __init__(self, sections: Mapping[str, Section], device: torch.device, ahead: Ahead | None = None) -> None:
        """`ahead`: where the memory that it is sent from comes from, for one time of sending."""
        self.sections = dict(sections)
        words = {name: _words(count, dtype) for name, (count, dtype) in sections.items()}
        ends = np.cumsum([0, *words.values()])
        self._host: npt.NDArray[np.int64] = np.zeros(ends[-1], dtype=np.int64)
        self._sent: npt.NDArray[np.int64] | None = None
        self.words = int(ends[-1])
        self._device = torch.empty(self.words, dtype=torch.int64, device=device)
        self._staged = ahead.take() if ahead else None
        self._ahead = ahead is not None
        self.host: dict[str, npt.NDArray[Any]] = {}
        self.device: dict[str, Tensor] = {}
        for (name, (count, dtype)), start, end in zip(sections.items(), ends, ends[1:], strict=False):
            self.host[name] = self._host[start:end].view(dtype)[:count]
            self.device[name] = self._device[start:end].view(getattr(torch, dtype))

    def send(self) -> int:
        """Bring the device up to date; how many words went. Nothing waits."""
        first, end = 0, len(self._host)
        if self._sent is not None:
            changed = np.flatnonzero(self._host != self._sent)
            if len(changed) == 0:
                return 0
            first, end = int(changed[0]), int(changed[-1]) + 1
        if not self._ahead or self._staged is None:
            self._staged = card.staging(end - first, self._device.device)
        # Held on to: a graph that captures this copy reads from the same memory at every replay.
        self._staged.numpy()[: end - first] = self._host[first:end]
        self._device[first:end].copy_(self._staged[: end - first], non_blocking=True)
        self._sent = self._host.copy()
        return end - first


def _words(count: int, dtype: str) -> int:
    """A section's length: at least one word, so that its pointer is one, and a whole number of aligned pieces."""
    words = -(-count * np.dtype(dtype).itemsize // WORD)
    return max(ALIGNED, -(-words // ALIGNED) * ALIGNED)


def chunks_of(numels: Sequence[int], block: int = BLOCK) -> npt.NDArray[np.int32]:
    """A row for each chunk: (tensor, which block of it)."""
    counts = -(-np.array(numels, dtype=np.int64) // block)
    tensors = np.repeat(np.arange(len(counts)), counts)
    firsts = np.repeat(np.cumsum(counts) - counts, counts)
    return np.stack([tensors, np.arange(len(tensors)) - firsts], axis=1).astype(np.int32)


class Chunks:
    """The list of chunks on the device: made once for a plan."""

    def __init__(self, numels: Sequence[int], device: torch.device, block: int) -> None:
        self.numels = numels  # the object: a plan of other tensors has another
        rows = chunks_of(numels, block)
        self.count = len(rows)
        board = Board({"chunks": (2 * max(self.count, 1), "int32")}, device)
        board.host["chunks"][: rows.size] = rows.ravel()
        board.send()
        self.tensor = board.device["chunks"]
        self.tensor_of = self.tensor[: rows.size : 2]
        self._board = board
