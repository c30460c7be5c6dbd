"""Many settings of one model side by side: optimizers that each have their own parameters, stepped as one.

Each keeps its own groups, states, schedulers and checkpoints; what they share is the launch. A kernel takes a row of
numbers for each group anyway, so a hundred optimizers of four small tensors cost little more than one of four hundred.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, Sequence
from typing import Any

import numpy as np
import torch

from thalweg.optimizers.hooks import any_hooks
from thalweg.optimizers.optimizer import Optimizer
from thalweg.optimizers.schedule_free import ScheduleFree
from thalweg.optimizers.stepper import Stepper
from thalweg.plan.chunks import Integers
from thalweg.update.update import Update

Tensor = torch.Tensor


def can_join(optimizer: torch.optim.Optimizer) -> bool:
    """True where a step of this optimizer is its rule and nothing beside: it may be stepped together with others."""
    if not isinstance(optimizer, Optimizer) or type(optimizer)._step is not Optimizer._step:
        return False
    plain = type(optimizer).step in (Optimizer.step, ScheduleFree.step)
    guarded = optimizer.guard.clip_norm is not None or not optimizer.guard.idle
    sums = any(optimizer._rule(group).summed for group in optimizer.param_groups)  # over one optimizer's tensors alone
    return plain and not any_hooks(optimizer) and not guarded and not sums


class Together:
    """Steps optimizers that `can_join`, in one launch for each kind of kernel.

    >>> import torch, thalweg.optim as optim
    >>> from thalweg.optimizers.stacked import Together
    >>> lanes = [torch.nn.Parameter(torch.ones(2)) for _ in range(3)]
    >>> both = Together([optim.SGD([p], lr=lr) for p, lr in zip(lanes, (0.5, 0.25, 0.0))])
    >>> both.step([torch.ones(2) for _ in lanes])
    >>> [p.tolist() for p in lanes]
    [[0.5, 0.5], [0.75, 0.75], [1.0, 1.0]]
    """

    def __init__(self, optimizers: Sequence[Optimizer]) -> None:
        self.optimizers = list(optimizers)
        engines = {optimizer._engine for optimizer in self.optimizers}
        if len(engines) > 1:
            raise ValueError(f"optimizers: of the engines {', '.join(sorted(engines))}; must be of one")
        self._stepper = Stepper(engines.pop() if engines else "auto")
        groups = [(optimizer, group) for optimizer in self.optimizers for group in optimizer.param_groups]
        self.params = [p for _, group in groups for p in group["params"]]
        self._groups = groups
        self._flat = all(p.is_contiguous() for p in self.params)
        self._before: tuple[list[bool], list[Update]] | None = (
            None  # which had a gradient in the last step, and what ran
        )
        self._state = _States({p: o.state for o, group in groups for p in group["params"]})

    def step(self, gradients: Sequence[Tensor | None]) -> None:
        """One step of all of them: the gradients of `params`, in that order."""
        updates = zip(self._groups, self._updates(), strict=True)
        kinds = [(group, len(group["params"]), update) for (_, group), update in updates]
        self._stepper.step(self.params, gradients, kinds, self._state)
        self._tell()

    def step_stacked(self, stacks: Sequence[Tensor | None], which: Integers, lane: Integers, settled: bool) -> None:
        """The same, the gradient of parameter i being `stacks[which[i]][lane[i]]`.

        From the second call on no tensor is looked at: parameters and states must not be moved in between, nor, where
        it is `settled`, a group's settings changed. 4 us a lane of four tensors against 9.
        """
        flat = all(g is None or g[:1].is_contiguous() for g in stacks) and self._flat
        updates = self._before[1] if settled and self._before else self._updates()
        now = ([g is not None for g in stacks], updates)
        if (
            self._before == now
            and flat
            and self._stepper.step_as_before(_addresses(stacks, which, lane), [group for _, group in self._groups])
        ):
            self._tell()
            return
        parts = [None if g is None else g.unbind(0) for g in stacks]
        places = zip(which.tolist(), lane.tolist(), strict=True)
        self.step([None if (part := parts[one]) is None else part[k] for one, k in places])
        self._before = now

    def _updates(self) -> list[Update]:
        return [optimizer._update(group) for optimizer, group in self._groups]

    def _tell(self) -> None:
        for optimizer in self.optimizers:
            optimizer._opt_called = True  # type: ignore[attr-defined]  # torch's schedulers ask for it


def _addresses(stacks: Sequence[Tensor | None], which: Integers, lane: Integers) -> Integers:
    """Where in memory each parameter's gradient begins."""
    first = np.array([0 if g is None else g.data_ptr() for g in stacks], dtype=np.int64)
    apart = np.array([0 if g is None else g.stride(0) * g.element_size() for g in stacks], dtype=np.int64)
    return first[which] + apart[which] * lane


class _States(MutableMapping[Tensor, dict[str, Any]]):
    """The states of all parameters, each held by its own optimizer."""

    def __init__(self, owners: dict[Tensor, MutableMapping[Tensor, dict[str, Any]]]) -> None:
        self.owners = owners

    def __getitem__(self, p: Tensor) -> dict[str, Any]:
        return self.owners[p][p]

    def __setitem__(self, p: Tensor, state: dict[str, Any]) -> None:
        self.owners[p][p] = state

    def __delitem__(self, p: Tensor) -> None:
        del self.owners[p][p]

    def __contains__(self, p: object) -> bool:
        return p in self.owners and p in self.owners[p]  # type: ignore[index]

    def __iter__(self) -> Iterator[Tensor]:
        return (p for p, held in self.owners.items() if p in held)

    def __len__(self) -> int:
        return sum(1 for _ in self)
