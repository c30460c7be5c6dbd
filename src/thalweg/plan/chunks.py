"""Work cut into equal shares: stretches of tensors, a row each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]

LINE = 64  # elements: cuts between threads fall on whole cache lines


def cut(numels: Sequence[int], parts: int, limit: int, whole: int = 1) -> tuple[Integers, Integers]:
    """Cut tensors into chunks so that `parts` shares of them hold equally many elements, but for those by which chunks
    start at multiples of `whole` in their tensors."""
    share = -(-sum(numels) // (parts * LINE)) * LINE or LINE
    rows: list[tuple[int, int, int, int]] = []
    bounds, room = [0], share
    for tensor, numel in enumerate(numels):
        start = 0
        while start < numel:
            length = min(numel - start, -(-room // whole) * whole, limit)
            rows.append((tensor, start, length, 0))
            start, room = start + length, room - length
            if room <= 0:
                bounds.append(len(rows))
                room += share
    if bounds[-1] != len(rows):
        bounds.append(len(rows))
    return np.array(rows, dtype=np.int64).reshape(-1, 4), np.array(bounds, dtype=np.int64)
