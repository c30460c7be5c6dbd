"""The step and the tensors at which numbers stop being finite, by a look at one small gradient a step.

What is not finite spreads: from a gradient to its weights, from these to every gradient of the next step. The one that
is looked at shows it a step late at most, and then the weights still tell which gradients were the first. A device is
not waited for: what it has added up is read at watched steps, when only the step can be told any more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge

from thalweg.lens import memory
from thalweg.lens.sample import here

SMALL = 4096  # elements of the gradient that is looked at, where there is one so small


@dataclass(frozen=True)
class NotFinite:
    """Where a run stopped being finite.

    Args:
        step: the first that is known to be so.
        since: the first that it can have been; the same as `step` where that is known.
        text: which of the sentences about it is true.
        names: of the tensors that were, in the order in which a backward pass comes to them.
        of: tensors that were looked at.
    """

    step: int
    since: int
    text: str
    names: tuple[str, ...] = ()
    of: int = 0


class Lookout:
    """Looks at one gradient a step: that of the first small parameter, which a backward pass comes to late.

    Args:
        params: what is trained, in the model's order.
        names: of the same.
        rows: those of which a batch reads some rows alone: what is not finite there need not spread at once.
    """

    def __init__(self, params: Sequence[Tensor], names: Sequence[str], rows: Set[str] = frozenset()) -> None:
        self.params, self.names, self.rows = list(params), list(names), rows
        self.found: NotFinite | None = None
        self.clear = 0  # the last step of which all gradients were seen to be finite
        self.looked_at: Tensor | None = None
        self.waiting: list[tuple[int, Tensor]] = []  # sums that are still on their device
        self.arrived: dict[int, None] = {}  # places of the parameters, as a backward pass came to them
        self.nodes: dict[Any, Any] = {}  # at which gradients of a first pass come in, and what hears that

    def add(self, params: Sequence[Tensor], names: Sequence[str]) -> None:
        """Look at these too."""
        self.params += params
        self.names += names

    def listen(self) -> None:
        """Hear in which order the first backward pass comes to the parameters.

        On the nodes of that pass, which end with it: a parameter that had a hook once is slower in every later pass.
        """
        if self.arrived or self.nodes:
            return
        for place, p in enumerate(self.params):
            if p.requires_grad:
                node = get_gradient_edge(p).node
                self.nodes[node] = node.register_hook(self._arrival(place))

    def close(self) -> None:
        for handle in self.nodes.values():
            handle.remove()
        self.nodes.clear()

    def _arrival(self, place: int) -> Callable[..., None]:
        return lambda *gradients: self.arrived.setdefault(place)

    def see(self, step: int) -> None:
        """The gradients of a step are there, and the step is not taken yet."""
        if self.nodes:
            self.close()
        if self.found is not None or (gradient := self._gradient()) is None:
            return
        if (square := memory.square(gradient, gradient.numel())) is None:
            total = here(gradient).sum(dtype=torch.float32)
            if not total.is_cpu:
                self.waiting.append((step, total))
                return
            square = float(total)
        if not math.isfinite(square):
            self._look(step)

    def settle(self, step: int, bad: Sequence[str], of: int) -> None:
        """A watched step was taken, whose gradients were all counted: which of them were not finite."""
        waiting, self.waiting = self.waiting, []
        if self.found is None and waiting:
            totals = torch.stack([total for _, total in waiting]).tolist()
            late = next((at for (at, _), total in zip(waiting, totals, strict=True) if not math.isfinite(total)), None)
            if late is not None and late < step:
                self.found = NotFinite(late, max(self.clear + 1, late - 1), "unwatched", (), of)
        if self.found is None and bad:
            self.found = self._of_gradients(step, [self.names.index(name) for name in bad], of)
        if not bad:
            self.clear = step

    def verdict(self, told: int | None, losses: Mapping[int, float]) -> NotFinite | None:
        """What was found, by the losses too.

        Args:
            told: the step of a loss that was told and is not finite, a step late at most.
            losses: those that are finite, by step.
        """
        found = self.found
        if told is not None and (found is None or told < found.since - 1):
            return NotFinite(told, told, "loss")
        if found is not None and found.text == "everywhere" and found.step in losses:
            return replace(found, text="spread")
        return found

    def _gradient(self) -> Tensor | None:
        """The gradient that is looked at; another parameter's where it has none any more."""
        known = self.looked_at.grad if self.looked_at is not None else None
        if known is not None:
            return known
        there = [p for p in self.params if p.grad is not None and p.grad.layout is torch.strided and p.grad.numel()]
        small = next((p for p in there if p.numel() <= SMALL), None)
        self.looked_at = small if small is not None else min(there, key=Tensor.numel, default=None)
        return None if self.looked_at is None else self.looked_at.grad

    def _look(self, step: int) -> None:
        """Something is not finite: whether the weights are already, or only gradients."""
        weights = [place for place, p in enumerate(self.params) if _bad(p)]
        if weights:
            names, of = self._in_order(weights), len(self.params)
            since = min(self.clear + 1, step - 1) if not self.rows.isdisjoint(names) else step - 1
            at_once = NotFinite(step, step, "at_the_start", names, of)
            self.found = at_once if step == 1 else NotFinite(step - 1, since, "weights", names, of)
            return
        there = [place for place, p in enumerate(self.params) if p.grad is not None]
        gradients = [place for place in there if _bad(self.params[place].grad)]
        if gradients:  # else the sum was too large alone
            self.found = self._of_gradients(step, gradients, len(there))

    def _of_gradients(self, step: int, places: Sequence[int], of: int) -> NotFinite:
        text = "everywhere" if len(places) == of > 1 else "gradient"
        return NotFinite(step, step, text, self._in_order(places), of)

    def _in_order(self, places: Sequence[int]) -> tuple[str, ...]:
        """By the order of a backward pass; what it did not come to last, from the model's end."""
        order = {place: rank for rank, place in enumerate(self.arrived)}
        ranked = sorted(places, key=lambda place: (order.get(place, len(order)), -place))
        return tuple(self.names[place] for place in ranked)


def _bad(tensor: Tensor | None) -> bool:
    if tensor is None or not tensor.is_floating_point():
        return False
    own = tensor.detach().coalesce().values() if tensor.layout is torch.sparse_coo else here(tensor)
    return not bool(own.isfinite().all())
