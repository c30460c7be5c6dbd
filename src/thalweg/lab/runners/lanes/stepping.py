"""The optimizers of all lanes: those that can are stepped together, the others one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from thalweg.lab.runners.lanes.stack import Stack
from thalweg.lab.training.run import Run
from thalweg.optimizers.optimizer import Optimizer
from thalweg.optimizers.stacked import Together, can_join

Tensor = torch.Tensor


class Stepping:
    """Steps the optimizers of the runs that go on, each by its lane of the stack."""

    def __init__(self, stack: Stack, runs: Mapping[int, Run]) -> None:
        self.stack, self.runs = stack, runs
        joined: dict[str, list[tuple[int, Optimizer]]] = {}
        for k, run in runs.items():
            if isinstance(run.optimizer, Optimizer) and can_join(run.optimizer) and not _may_raise(run.optimizer):
                joined.setdefault(run.optimizer._engine, []).append((k, run.optimizer))
        self.together = [Together([optimizer for _, optimizer in own]) for own in joined.values()]
        riding = {k for own in joined.values() for k, _ in own}
        self.single = [k for k in runs if k not in riding]
        names = {id(p): (name, k) for k, lane in enumerate(stack.lanes) for name, p in enumerate(lane)}
        places = [np.array([names[id(p)] for p in together.params], dtype=np.int64).T for together in self.together]
        self.places = [(which.copy(), lane.copy()) for which, lane in places]
        self.settled = stack.task.schedule is None  # nobody changes a setting then

    def step(self, gradients: Sequence[Tensor | None]) -> None:
        """One step of every lane that goes on, by its own part of each parameter's gradient."""
        if (largest := self.stack.task.clip_norm) is not None:
            gradients = clip_lanes(gradients, largest)
        for together, (which, lane) in zip(self.together, self.places, strict=True):
            together.step_stacked(gradients, which, lane, self.settled)
        going = [k for k in self.single if self.runs[k].status is None]
        if going:
            parts = [None if g is None else g.unbind(0) for g in gradients]
            for k in going:
                self._alone(k, [None if part is None else part[k] for part in parts])

    def _alone(self, k: int, gradients: Sequence[Tensor | None]) -> None:
        run, params = self.runs[k], self.stack.lanes[k]
        where = [p.data_ptr() for p in params]
        for p, g in zip(params, gradients, strict=True):
            p.grad = g
        assert run.optimizer is not None
        run.attempt(run.optimizer.step)
        for p, at, whole in zip(params, where, self.stack.parameters.values(), strict=True):
            if p.data_ptr() != at:  # it has put its result elsewhere
                whole.data[k].copy_(p.data)
                p.data = whole.data[k]


def _may_raise(optimizer: Optimizer) -> bool:
    """Whether a step decomposes matrices, which fails for some: that is to end this run, and no other."""
    return any(optimizer._rule(group).matrices for group in optimizer.param_groups)


def clip_lanes(gradients: Sequence[Tensor | None], largest: float) -> list[Tensor | None]:
    """Scale each lane's gradients so that their common norm is at most `largest`, as `clip_grad_norm_` does."""
    present = [g for g in gradients if g is not None]
    # Tensor by tensor: over a dimension of the whole, torch adds up in another order.
    parts = torch._foreach_norm([part for g in present for part in g.unbind(0)])
    norms = torch.stack(list(parts)).view(len(present), -1).T.contiguous()
    factors = torch.clamp(largest / (torch.linalg.vector_norm(norms, dim=1) + 1e-6), max=1.0)
    return [None if g is None else g * factors.view(-1, *[1] * (g.dim() - 1)) for g in gradients]
