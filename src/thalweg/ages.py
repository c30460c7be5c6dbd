"""Step counts, and the numbers that rules carry from step to step: one buffer for all parameters."""

from __future__ import annotations

from collections.abc import Sequence
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

    The host's buffer is NumPy's: it is there whatever torch's default device and modes are, and a view of one number
    is a tensor with the memory of one number, which can be saved or shared alone.
    """

    def __init__(self, count: int, carried: Sequence[str], device: torch.device | None = None) -> None:
        self.names = ("step", *carried)
        if device is None:
            self.values: npt.NDArray[Any] = np.zeros((len(self.names), count))
            self.tensor = torch.from_numpy(self.values)
        else:  # kernels read them: those of a parameter side by side
            self.tensor = torch.zeros(count, len(self.names), dtype=torch.float64, device=device).T
        self.on_host = device is None

    def view(self, row: int, place: int) -> Tensor:
        """A parameter's number, as a tensor of its own."""
        if self.on_host:
            return torch.from_numpy(self.values[row, place : place + 1].reshape(()))
        return self.tensor[row, place]
