"""Step counts, and the numbers that rules carry from step to step: one buffer for all parameters."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from operator import methodcaller
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

Tensor = torch.Tensor


class Ages:
    """The step count, and the carried numbers, of every parameter: rows of one buffer.

    A state holds 0-dim views of it under torch's names: one addition ages all parameters (1,000 separate ones take
    a millisecond), and a checkpoint still looks like torch's.

    They are doubles: a float32 counts to 2^24 and stalls there, and a sum of weights kept in one stops growing sooner.

    The host's buffer is NumPy's: it is there whatever torch's default device and modes are. A view of one number is a
    tensor with the memory of one number, which can be saved alone.

    A number that somebody has put in memory that processes share stays there (`lend`): the buffer follows it.
    """

    def __init__(self, count: int, carried: Sequence[str], device: torch.device | None = None) -> None:
        self.names = ("step", *carried)
        if device is None:
            self.values: npt.NDArray[Any] = np.zeros((len(self.names), count))
            self.tensor = torch.from_numpy(self.values)
        else:  # kernels read them: those of a parameter side by side
            self.tensor = torch.zeros(count, len(self.names), dtype=torch.float64, device=device).T
        self.on_host = device is None
        self.lent: dict[int, list[int]] = {}  # the rows that lie elsewhere, by place

    def view(self, row: int, place: int) -> Tensor:
        """A parameter's number, as a tensor of its own."""
        if self.on_host:
            return torch.from_numpy(self.values[row, place : place + 1].reshape(()))
        number = self.tensor[row, place]
        size = number.element_size()
        first = number.storage_offset() * size
        memory = self.tensor.untyped_storage()[first : first + size]  # shared, and no more of it
        return torch.empty(0, dtype=number.dtype, device=number.device).set_(memory, 0, (), ())

    def lend(self, row: int, place: int) -> None:
        """Leave a parameter's number where its owner has put it."""
        self.lent.setdefault(place, []).append(row)

    def follow(self, place: int, state: dict[str, Any]) -> None:
        """Read the lent numbers of a parameter: other processes may have changed them."""
        for row in self.lent.get(place, ()):
            self.values[row, place] = float(state[self.names[row]])

    def owed(self, place: int, state: dict[str, Any], now: npt.NDArray[Any]) -> Callable[[], object]:
        """What brings a parameter's lent numbers up to `now`. A step count goes up by one, whatever it has come to in
        between: steps that processes take at the same time all count, as with torch's classes."""
        calls: list[Callable[[], object]] = []
        for row in self.lent.get(place, ()):
            held = state[self.names[row]].detach()
            calls.append(partial(held.add_, 1) if row == 0 else partial(held.fill_, float(now[row])))
        return partial(deque, map(methodcaller("__call__"), calls), 0)
