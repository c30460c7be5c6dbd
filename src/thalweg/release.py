"""Steps inside the backward pass: each parameter is stepped as its gradient is complete, and the gradient freed.

Of a model's gradients only one is then in memory at a time, in place of all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from thalweg.face import Optimizer
from thalweg.stepper import Stepper


class Release:
    """What `release_gradients` gives back: `remove()` ends it; it also works in a `with`."""

    def __init__(self, optimizer: Optimizer, params: list[torch.nn.Parameter]) -> None:
        register: Any = torch.Tensor.register_post_accumulate_grad_hook
        self._handles = [register(p, _hook(optimizer, p)) for p in params]

    def remove(self) -> None:
        """From now on gradients stay, and `step()` steps."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def __enter__(self) -> Release:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def release_gradients(model: torch.nn.Module, optimizer: Optimizer) -> Release:
    """Step each of the model's parameters during `backward()`, as soon as its gradient is there, and free the gradient.

    The training loop stays as it is: `optimizer.step()` finds nothing left to do, runs its hooks, and keeps schedulers
    in order. The result is that of stepping at the end, bit for bit. `with release_gradients(model, optimizer): ...`,
    or `remove()` on what is returned, ends it.

    It cannot be combined with what needs all gradients at once or more than one backward pass a step: `clip_norm`,
    `on_nonfinite`, a gradient scaler, gradient accumulation, rules that sum over all parameters (Prodigy). ValueError
    for the settings among these; a parameter that the optimizer does not have keeps its gradient.

    >>> import torch, thalweg.optim as optim
    >>> model = torch.nn.Linear(2, 1)
    >>> optimizer = optim.Adam(model.parameters())
    >>> release = optim.release_gradients(model, optimizer)
    >>> model(torch.ones(2)).sum().backward()
    >>> model.weight.grad is None, optimizer.state[model.weight]["step"].item()
    (True, 1.0)
    """
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"release_gradients(model, optimizer): {type(optimizer)} is not of thalweg.optim")
    if not optimizer.guard.idle:
        guard = optimizer.guard
        raise ValueError(
            f"release_gradients with clip_norm={guard.clip_norm} and on_nonfinite={guard.on_nonfinite!r}: these look "
            "at all gradients at once; allowed are None and 'propagate'"
        )
    for rule in optimizer.rules:
        if rule.summed:
            raise ValueError(f"release_gradients: {rule.name} sums over all parameters before it steps any")
    held = {p for group in optimizer.param_groups for p in group["params"]}
    return Release(optimizer, [p for p in model.parameters() if p in held and p.requires_grad])


def _hook(optimizer: Optimizer, param: torch.Tensor) -> Callable[[torch.Tensor], None]:
    stepper: Stepper | None = None

    def step(_: torch.Tensor) -> None:
        nonlocal stepper
        stepper = optimizer.step_one(param, stepper)
        param.grad = None

    return step
