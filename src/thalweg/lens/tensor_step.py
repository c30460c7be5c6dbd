"""What one step does to each parameter: read before and after it, with nothing changed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from thalweg.lens.sample import Sample, here
from thalweg.lens.shards import Shards

SECOND = ("exp_avg_sq", "square_avg")


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


@dataclass
class _Before:
    """What was there before a step that is watched."""

    which: list[int]  # parameters with a gradient
    gradient: Tensor
    old: Tensor
    second: Tensor
    expected: list[float]  # what v is divided by
    norms: Tensor


class StepReader:
    """Reads the steps of an optimizer: `look_back`, `before` and `after` a step that is watched.

    Args:
        params: the optimizer's, in its order.
    """

    def __init__(self, params: Sequence[Tensor]) -> None:
        self.params = list(params)
        self.sample, self.shards = Sample(self.params), Shards(self.params)
        self.index = {id(p): i for i, p in enumerate(self.params)}
        self.waiting: _Before | None = None
        self.last: tuple[list[int], Tensor] | None = None  # a step, for the next gradient to look back on

    def before(self, optimizer: Optimizer, watched: bool) -> float:
        """Copy what the step will change, where it is watched; the gradient's cosine with the step before."""
        last, self.last = self.last, None
        if last is None and not watched:
            return math.nan
        factor = getattr(optimizer, "grad_scale", None)  # of a fused step under a GradScaler
        scale = 1.0 if factor is None else 1.0 / float(factor)
        which = [i for i, p in enumerate(self.params) if p.grad is not None and p.grad.layout == torch.strided]
        if not which:
            return math.nan
        grads = [self.params[i].grad for i in which]
        gradient = self.sample.of(grads, which) * scale
        cosine = math.nan
        if last is not None and last[0] == which:
            product, one, other = self._products(gradient, last[1], which)
            cosine = product / (one * other) ** 0.5 if one > 0 and other > 0 else math.nan
        if watched:
            groups = self._groups(optimizer)
            states = [optimizer.state.get(self.params[i], {}) for i in which]
            self.waiting = _Before(
                which,
                gradient,
                self.sample.of([self.params[i] for i in which], which),
                self.sample.of(self._seconds(states, which), which),
                [_correction(groups.get(i, {}), state) for i, state in zip(which, states, strict=True)],
                _norms([here(grad) for grad in grads if grad is not None]) * scale,
            )
        return cosine

    def after(self, optimizer: Optimizer) -> dict[int, TensorStep]:
        """The numbers of the step, by the parameter's place; of those without a gradient none."""
        seen, self.waiting = self.waiting, None
        if seen is None:
            return {}
        which, g = seen.which, seen.gradient
        groups = self._groups(optimizer)
        own = [groups.get(i, {}) for i in which]
        states = [optimizer.state.get(self.params[i], {}) for i in which]
        now = self.sample.of([self.params[i] for i in which], which)
        step = now - seen.old
        same = step == 0
        decays = [_decay(group) for group in own]
        if any(decays):
            step = step + self.sample.spread(decays, which, step) * seen.old
        self.last = which, step
        floors = [_floor(group, state) for group, state in zip(own, states, strict=True)]
        second = self.sample.of(self._seconds(states, which), which)
        zero = g == 0
        rows = [
            seen.old.square(),
            step.square(),
            g * step,
            zero.float(),
            ((second < self.sample.spread(floors, which, second)) & ~zero).float(),
            (same & ~zero).float(),
            seen.second,
        ]
        sums = self.sample.sums(rows, which)
        counts = torch.tensor([[self.sample.counts[i] for i in which], [self.sample.sizes[i] for i in which]])
        squares = seen.norms.double().square()
        bad = torch.zeros_like(squares)
        for place in (~squares.isfinite()).nonzero().flatten().tolist():
            grad = self.params[which[place]].grad
            assert grad is not None
            bad[place] = (~here(grad).isfinite()).sum()
        table = torch.cat([sums, counts.to(sums), squares.to(sums)[None], bad.to(sums)[None]])
        columns = self.shards.by_tensor(table, which).T.tolist()
        return {
            i: _numbers(column, expected, floor, float(group.get("lr", 0.0)))
            for i, column, expected, floor, group in zip(which, columns, seen.expected, floors, own, strict=True)
        }

    def _products(self, a: Tensor, b: Tensor, which: Sequence[int]) -> list[float]:
        if self.shards.any:
            sums = self.sample.sums([a * b, a * a, b * b], which)
            products: list[float] = self.shards.by_tensor(sums, which).sum(1).tolist()
            return products
        return [float(x) for x in torch.stack([a.dot(b), a.dot(a), b.dot(b)]).tolist()]

    def _groups(self, optimizer: Optimizer) -> dict[int, Mapping[str, Any]]:
        index = self.index
        return {index[id(p)]: g for g in optimizer.param_groups for p in g["params"] if id(p) in index}

    def _seconds(self, states: Sequence[Mapping[str, Any]], which: Sequence[int]) -> list[Tensor | None]:
        """The second moments that are plain numbers of the parameter's shape; of quantized ones none."""
        found: list[Tensor | None] = []
        for i, state in zip(which, states, strict=True):
            v = next((state[name] for name in SECOND if isinstance(state.get(name), Tensor)), None)
            fits = v is not None and v.is_floating_point() and here(v).numel() == self.sample.sizes[i]
            found.append(v if fits else None)
        return found


def _numbers(column: Sequence[float], expected: float, floor: float, lr: float) -> TensorStep:
    weight, step, promise, zeros, ruled, lost, second, count, size, squares, bad = column
    grown = size / count if count else 0.0
    nonzero = count - zeros
    mean = second / count / expected if count and expected > 0 else math.nan
    return TensorStep(
        size=int(size),
        gradient=squares,
        weight=weight * grown,
        step=step * grown,
        promise=promise * grown,
        out_of_date=squares / size / mean if mean > 0 else math.nan,
        zeros=zeros / count if count else 0.0,
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


def _correction(group: Mapping[str, Any], state: Mapping[str, Any]) -> float:
    """What the second moment is divided by; 0 before there is one."""
    steps = float(state.get("step", 0) or 0)
    if "betas" not in group:
        return 1.0 if steps else 0.0
    return float(1 - float(group["betas"][1]) ** steps)


def _floor(group: Mapping[str, Any], state: Mapping[str, Any]) -> float:
    """The second moment under which eps rules; NaN where there is none."""
    eps = group.get("eps")
    return float(eps**2 * (_correction(group, state) or 1.0)) if isinstance(eps, float) else math.nan


def _decay(group: Mapping[str, Any]) -> float:
    decay = float(group.get("weight_decay", 0.0) or 0.0) if group.get("decoupled_weight_decay") else 0.0
    return float(group["lr"]) * decay if decay else 0.0
