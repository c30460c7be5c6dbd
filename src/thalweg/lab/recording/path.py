"""A run's way: a few checkpoints of its weights, evenly spread over its steps, however long it turns out to be."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

MOST = 48  # checkpoints: then every other one is let go


class Trajectory:
    """Keeps the trained weights of every so many steps, twice as many whenever there are `most`; and the last ones.

    The weights are those that one would evaluate: an optimizer with modes (Schedule-Free) is asked for its result, and
    goes on as if it had not been.
    """

    def __init__(self, most: int = MOST) -> None:
        self.most, self.every = most, 1
        self.steps: list[int] = []
        self.weights: list[Tensor] = []
        self.model: nn.Module | None = None

    def see(self, steps: int, model: nn.Module, optimizer: torch.optim.Optimizer, last: bool = False) -> None:
        """Take in the run after so many steps."""
        if steps % self.every and not last:
            return
        if self.steps and self.steps[-1] == steps:
            return
        if len(self.steps) == self.most:
            self.steps, self.weights, self.every = self.steps[::2], self.weights[::2], 2 * self.every
            if steps % self.every and not last:
                return
        self.model = model
        self.steps.append(steps)
        self.weights.append(_result(model, optimizer))

    @property
    def array(self) -> NDArray[np.float32]:
        """A row a checkpoint."""
        return torch.stack(self.weights).numpy()


def trained(model: nn.Module) -> list[nn.Parameter]:
    """What a run changes of a model."""
    return [p for p in model.parameters() if p.requires_grad]


def flat(tensor: Tensor) -> Tensor:
    """All numbers of a tensor, a complex one's real and imaginary parts."""
    plain = tensor.detach()
    return (torch.view_as_real(plain) if plain.is_complex() else plain).reshape(-1)


def _result(model: nn.Module, optimizer: torch.optim.Optimizer) -> Tensor:
    turn = getattr(optimizer, "eval", None), getattr(optimizer, "train", None)
    modes = all(map(callable, turn)) and getattr(optimizer, "training", True)
    if modes:
        optimizer.eval()  # type: ignore[attr-defined]
    found = torch.cat([flat(p).to("cpu", torch.float32, copy=True) for p in trained(model)])
    if modes:
        optimizer.train()  # type: ignore[attr-defined]
    return found
