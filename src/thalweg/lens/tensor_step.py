"""What one step does to each parameter: read before and after it, with nothing changed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from thalweg.lens.probe import unscaled
from thalweg.lens.sample import Sample, here
from thalweg.lens.shards import Shards

_grad = attrgetter("grad")
SECOND = ("exp_avg_sq", "square_avg")
LOOKED_BACK_ON = 32  # tensors
T = TypeVar("T")


@dataclass(slots=True)
class TensorStep:
    """Numbers of one parameter at one step. Sums of squares, so that they add up over parameters.

    Of a large model all but `gradient` and `not_finite` are estimated from a grid of its elements.
    """

    size: int
    gradient: float  # sum of g^2
    weight: float  # sum of p^2 before the step
    step: float  # sum of (p' - p)^2, decoupled decay taken out
    promise: float  # sum of g * (p' - p): the decrease that this step promises, to first order
    out_of_date: float  # mean of g^2 over mean of v; NaN where there is no v
    zeros: float  # share of zeros in g
    ruled_by_eps: float  # share of elements with sqrt(v) < eps
    lost: float  # share of elements with a gradient whose weight is the same after the step
    not_finite: int  # elements of g

    @property
    def update_ratio(self) -> float:
        """Norm of the step over norm of the weight."""
        return float((self.step / self.weight) ** 0.5) if self.weight > 0 else math.nan


class StepRow(Mapping[str, TensorStep]):
    """One watched step: the numbers by parameter, worked out when somebody asks for them.

    Args:
        names: of the parameters that had a gradient.
        table: what was added up, a column a parameter.
        expected: what each one's second moment is divided by.
        floors: the second moments under which eps rules.
        rates: of each parameter's group.
        not_finite: names of those whose gradient was not finite.
    """

    def __init__(
        self,
        names: Sequence[str],
        table: Tensor,
        expected: Sequence[float],
        floors: Sequence[float],
        rates: Sequence[float],
        not_finite: Sequence[str] = (),
    ) -> None:
        self.names, self.table, self.expected, self.floors, self.rates = names, table, expected, floors, rates
        self.not_finite = not_finite

    @cached_property
    def numbers(self) -> dict[str, TensorStep]:
        columns = self.table.T.tolist()
        rows = zip(self.names, columns, self.expected, self.floors, self.rates, strict=True)
        return {name: _numbers(column, *more) for name, column, *more in rows}

    def __getitem__(self, name: str) -> TensorStep:
        return self.numbers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


@dataclass
class _Before:
    """What was there before a step that is watched."""

    which: list[int]  # parameters with a gradient
    gradient: Tensor
    old: Tensor
    second: Tensor
    expected: list[float]  # what v is divided by
    squares: Tensor  # sum of g^2 of every tensor, over all of it


class StepReader:
    """Reads the steps of an optimizer: `look_back`, `before` and `after` a step that is watched.

    Args:
        params: the optimizer's, in its order.
        names: of the same.
    """

    def __init__(self, params: Sequence[Tensor], names: Sequence[str]) -> None:
        self.params, self.names = list(params), list(names)
        self.sample, self.shards = Sample(self.params), Shards(self.params)
        self.every = [*range(len(self.params))]
        self.index = {id(p): i for i, p in enumerate(self.params)}
        self.waiting: _Before | None = None
        self.last: tuple[list[int], Tensor] | None = None  # a step, for the next gradient to look back on
        self.in_step: list[int] = []  # parameters that have taken equally many steps
        self.kept: tuple[list[int], Tensor] = [], torch.empty(0)  # parameters, and what is looked back on of their grid
        self.seconds: tuple[list[int], list[Tensor | None]] = [], []  # second moments, as they were found the last time

    @torch.no_grad()
    def before(self, optimizer: Optimizer, watched: bool) -> float:
        """Copy what the step will change, where it is watched; the gradient's cosine with the step before."""
        last, self.last = self.last, None
        if last is None and not watched:
            return math.nan
        cosine = math.nan if last is None else self._cosine(*last)
        if watched:
            self._copy(optimizer)
        return cosine

    def _copy(self, optimizer: Optimizer) -> None:
        which, grads = self.every, [*map(_grad, self.params)]
        if (lying := self.sample.lying(grads, which)) is None:
            pairs = [(i, g) for i, g in enumerate(grads) if g is not None and g.layout is torch.strided]
            which, grads = [i for i, _ in pairs], [g for _, g in pairs]
        if not which:
            return
        scale = unscaled(optimizer)
        gradient = self.sample.of(grads, which) if lying is None else self.sample.at(lying, which)
        squares = self.sample.squares(grads, which, lying)
        if squares is None or not squares.isfinite().all():
            squares = _norms([here(grad) for grad in grads]).double().square()
        self.waiting = _Before(
            which,
            gradient if scale == 1.0 else gradient * scale,
            self.sample.of([self.params[i] for i in which], which),
            self.sample.of(self._seconds(optimizer, which), which),
            self._corrections(optimizer, which),
            squares * scale**2,
        )

    @torch.no_grad()
    def after(self, optimizer: Optimizer) -> StepRow:
        """The numbers of the step; of parameters without a gradient none."""
        seen, self.waiting = self.waiting, None
        if seen is None:
            return StepRow([], torch.zeros(11, 0), [], [], [])
        which = seen.which
        decays, epsilons, rates = (list(each) for each in zip(*self._settings(optimizer, which), strict=True))
        floors = [e**2 * (c or 1.0) for e, c in zip(epsilons, seen.expected, strict=True)]
        now = self.sample.of([self.params[i] for i in which], which)
        sums, step = self.sample.step_sums((now, seen.old, seen.gradient, seen.second), decays, floors, which)
        self.last = self._to_look_back_on(which, step)
        bad = torch.zeros_like(seen.squares)
        for place in (~seen.squares.isfinite()).nonzero().flatten().tolist():
            grad = self.params[which[place]].grad
            assert grad is not None
            bad[place] = (~here(grad).isfinite()).sum()
        table = torch.cat([sums, seen.squares.to(sums)[None], bad.to(sums)[None]])
        names = [self.names[i] for i in which]
        whole = self.shards.by_tensor(table, which)
        spoiled = [names[place] for place in whole[-1].nonzero().flatten().tolist()]
        return StepRow(names, whole, seen.expected, floors, rates, spoiled)

    def _products(self, a: Tensor, b: Tensor, which: Sequence[int]) -> list[float]:
        if self.shards.any:
            sums = self.sample.sums([a * b, a * a, b * b], which)
            products: list[float] = self.shards.by_tensor(sums, which).sum(1).tolist()
            return products
        return [float(x) for x in torch.stack([a.dot(b), a.dot(a), b.dot(b)]).tolist()]

    def _cosine(self, which: Sequence[int], step: Tensor) -> float:
        """Of the gradient that is there now with the step before."""
        grads = [self.params[i].grad for i in which]
        if any(grad is None or grad.layout is not torch.strided for grad in grads):
            return math.nan
        found = None if self.shards.any or not step.is_cpu else self.sample.products(grads, step, which)
        product, one, other = found or self._products(self.sample.of(grads, which), step, which)
        return float(product / (one * other) ** 0.5) if one > 0 and other > 0 else math.nan

    def _to_look_back_on(self, which: list[int], step: Tensor) -> tuple[list[int], Tensor]:
        """What is kept of a step: of some of the tensors, evenly spread, where they are many."""
        few = which[:: -(-len(which) // LOOKED_BACK_ON)]
        if len(few) == len(which):
            return which, step
        if self.kept[0] != which:
            ends = np.cumsum([0, *(self.sample.counts[i] for i in which)])
            places = [np.arange(ends[k], ends[k + 1]) for k in range(0, len(which), -(-len(which) // LOOKED_BACK_ON))]
            self.kept = which, torch.from_numpy(np.concatenate(places)).to(step.device)
        return few, step.index_select(0, self.kept[1])

    def _of_groups(self, optimizer: Optimizer, which: Sequence[int], read: Callable[[Mapping[str, Any]], T]) -> list[T]:
        """A setting of the group that each parameter is in."""
        groups = optimizer.param_groups
        if len(groups) == 1:
            return [read(groups[0])] * len(which)
        known = {id(p): read(group) for group in groups for p in group["params"]}
        return [known[id(self.params[i])] for i in which]

    def _settings(self, optimizer: Optimizer, which: Sequence[int]) -> list[tuple[float, float, float]]:
        """Decoupled decay a step, eps (NaN where there is none) and rate, for each of the parameters."""

        def read(group: Mapping[str, Any]) -> tuple[float, float, float]:
            eps = group.get("eps")
            return _decay(group), float(eps) if isinstance(eps, float) else math.nan, float(group.get("lr", 0.0))

        return self._of_groups(optimizer, which, read)

    def _corrections(self, optimizer: Optimizer, which: list[int]) -> list[float]:
        """What the second moments are divided by; 0 before there is one."""

        def steps_of(i: int) -> float:
            return float(optimizer.state.get(self.params[i], {}).get("step", 0) or 0)

        betas = self._of_groups(optimizer, which, lambda group: float(group["betas"][1]) if "betas" in group else None)
        if self.in_step == which:  # all were at the same step the last time: one tells for all
            steps = [steps_of(which[0])] * len(which)
        else:
            steps = [steps_of(i) for i in which]
            self.in_step = which if len(set(steps)) == 1 else []
        if self.in_step == which and len(optimizer.param_groups) == 1:
            return [_correction(betas[0], steps[0])] * len(which)
        pairs = list(zip(betas, steps, strict=True))
        found = {pair: _correction(*pair) for pair in set(pairs)}
        return [found[pair] for pair in pairs]

    def _seconds(self, optimizer: Optimizer, which: list[int]) -> list[Tensor | None]:
        """The second moments that are plain numbers of the parameter's shape; of quantized ones none."""
        states = optimizer.state
        if which == self.seconds[0] and self.seconds[1][0] is _second(states.get(self.params[which[0]], {})):
            return self.seconds[1]  # a state is replaced as a whole, if at all
        found: list[Tensor | None] = []
        for i in which:
            v = _second(states.get(self.params[i], {}))
            fits = v is not None and v.is_floating_point() and here(v).numel() == self.sample.sizes[i]
            found.append(v if fits else None)
        self.seconds = ([], []) if None in found else (which, found)
        return found


def _numbers(column: Sequence[float], expected: float, floor: float, lr: float) -> TensorStep:
    weight, step, promise, nonzero, ruled, lost, second, count, size, squares, bad = column
    grown = size / count if count else 0.0
    mean = second / count / expected if count and expected > 0 else math.nan
    return TensorStep(
        size=int(size),
        gradient=squares,
        weight=weight * grown,
        step=step * grown,
        promise=promise * grown,
        out_of_date=squares / size / mean if mean > 0 else math.nan,
        zeros=1 - nonzero / count if count else 0.0,
        ruled_by_eps=ruled / nonzero if nonzero and not math.isnan(floor) and not math.isnan(second) else math.nan,
        lost=lost / nonzero if nonzero and lr > 0 else 0.0,
        not_finite=int(bad),
    )


def _norms(grads: list[Tensor]) -> Tensor:
    """The norm of every tensor; of one whose squares are too large for its dtype in float64."""
    try:
        norms = torch.stack([n.float() for n in torch._foreach_norm(grads)])
    except RuntimeError:  # tensors of several devices
        norms = torch.stack([grad.float().norm().to(grads[0].device) for grad in grads])
    if not norms.isfinite().all():
        double = [g.double().norm() if not n.isfinite() else n.double() for g, n in zip(grads, norms, strict=True)]
        norms = torch.stack([n.to(norms.device) for n in double])
    return norms


def _second(state: Mapping[str, Any]) -> Tensor | None:
    return next((state[name] for name in SECOND if isinstance(state.get(name), Tensor)), None)


def _correction(beta2: float | None, steps: float) -> float:
    if beta2 is None:
        return 1.0 if steps else 0.0
    return float(1 - beta2**steps)


def _decay(group: Mapping[str, Any]) -> float:
    decay = float(group.get("weight_decay", 0.0) or 0.0) if group.get("decoupled_weight_decay") else 0.0
    return float(group["lr"]) * decay if decay else 0.0
