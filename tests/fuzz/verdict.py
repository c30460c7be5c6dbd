"""What counts as a difference between two sides, and how large one may be.

The gradients are given, not computed from the parameters, so errors add up and do not feed on themselves. One step of a
rule rounds some 16 times for an element, each by half a spacing at most, on either side: after n steps two sides may be
16 n spacings apart, of the largest number that this state has had. NaN and infinity must stand in the same places, what
is not a number (step counts, names, shapes, dtypes, gradients, what operations noted) must be the same.

Half precision: a sum that lies between two numbers may round to either. One spacing is allowed, and then taken over
from the reference, so that the next step starts from the same numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from fuzz.sides import NUMBERS, TORCH, Side

Tensor = torch.Tensor
State = dict[str, Any]
ROUNDINGS = 16
HALVES = (torch.float16, torch.bfloat16)
SINGLE, DOUBLE = torch.finfo(torch.float32).eps, torch.finfo(torch.float64).eps
CARRIED_SINGLE = ("NAdam", "ASGD")  # numbers from step to step are float32 in the state, in torch as here


class Difference(AssertionError):
    """Two sides part."""


class Verdict:
    """Compares each side with the reference; `precision`: the coarsest in which any number was worked out."""

    def __init__(self, precision: float) -> None:
        self.precision = precision
        self.largest: dict[str, float] = {}

    def judge(self, reference: Side, other: Side) -> None:
        """Raise Difference where they part."""
        self._same("what operations noted", reference.notes, other.notes, other)
        self._same("number of optimizers", len(reference.optimizers), len(other.optimizers), other)
        for right, ours in zip(reference.optimizers, other.optimizers, strict=True):
            self._groups(right, ours, other)
            params = [[p for group in each.param_groups for p in group["params"]] for each in (right, ours)]
            for index, (p, q) in enumerate(zip(*params, strict=True)):
                states = [each.state.get(own, {}) for each, own in ((right, p), (ours, q))]
                self._param(f"parameter {index}", p, q, *states, other)

    def _groups(self, right: Any, ours: Any, other: Side) -> None:
        self._same("number of groups", len(right.param_groups), len(ours.param_groups), other)
        for index, (one, two) in enumerate(zip(right.param_groups, ours.param_groups, strict=True)):
            for name in one.keys() & two.keys() - {"params", "foreach", "fused"}:
                values = [tuple(each[name]) if isinstance(each[name], list) else each[name] for each in (one, two)]
                self._same(f"group {index}: {name}", *values, other)

    def _param(self, where: str, p: Tensor, q: Tensor, right: State, ours: State, other: Side) -> None:
        self._same(f"{where}: dtype", p.dtype, q.dtype, other)
        self._same(f"{where}: has a gradient", p.grad is None, q.grad is None, other)
        if p.grad is not None:
            pair = [g.to_dense() if g.is_sparse else g for g in (p.grad, q.grad)]
            if not torch.equal(*[torch.view_as_real(g.resolve_conj()) if g.is_complex() else g for g in pair]):
                zeros = [torch.nan_to_num(g, nan=0.5) for g in pair]
                if not torch.equal(*zeros):
                    raise Difference(f"{where}: the gradient was changed on one side ({other.way})")
        names = [{name for name, value in state.items() if value is not None} for state in (right, ours)]
        self._same(f"{where}: states", sorted(names[0]), sorted(names[1]), other)
        half = p.dtype in HALVES
        # a spacing of the parameter, from inside an operation of several steps, that averages and decay take up
        slack = torch.finfo(p.dtype).eps * self._largest_of(p) if half else 0.0
        for name in names[0] - {"compensation"}:
            one, two = right[name], ours[name]
            if name == "step":
                self._same(f"{where}: step", float(one), float(two), other)
            else:
                if other.way != TORCH:
                    self._same(f"{where}: dtype of {name}", one.dtype, two.dtype, other)
                self._close(f"{where}: {name}", name, one, two, other, slack)
        if not half:
            self._close(where, "p", p.detach(), q.detach(), other)
            return
        self._half(where, p.detach(), q.detach(), right.get("compensation"), ours.get("compensation"), other)
        with torch.no_grad():
            for one, two in [(p, q), *((right[name], ours[name]) for name in names[0] - {"step"})]:
                if not torch.equal(one, two):
                    two.copy_(one)

    def _largest_of(self, p: Tensor) -> float:
        finite = wide(p)[wide(p).isfinite()]
        return finite.abs().max().item() if finite.numel() else 0.0

    def _same(self, what: str, right: Any, ours: Any, other: Side) -> None:
        if right != ours:
            raise Difference(f"{what}: {ours!r} ({other.way}) is not {right!r} (reference)")

    def _close(self, where: str, name: str, right: Tensor, ours: Tensor, other: Side, slack: float = 0.0) -> None:
        one, two = wide(right).cpu().numpy(), wide(ours).cpu().numpy()  # on a few numbers faster than torch
        self._same(f"{where}: shape", one.shape, two.shape, other)
        finite = np.isfinite(one)
        if not (finite == np.isfinite(two)).all() or not (np.isnan(one) == np.isnan(two)).all():
            raise Difference(f"{where}: NaN or infinity in other places ({other.way})")
        if not finite.all():
            endless = np.isinf(one)
            if (one[endless] != two[endless]).any():
                raise Difference(f"{where}: infinity of another sign ({other.way})")
            one, two = one[finite], two[finite]
        if not one.size:
            return
        self.largest[name] = max(self.largest.get(name, 0.0), float(np.abs(one).max()))
        carried = other.way == TORCH and (name in NUMBERS or other.case.name in CARRIED_SINGLE)
        precision = max(self.precision, SINGLE) if carried else self.precision
        allowed = ROUNDINGS * precision * (other.steps + 1) * self.largest[name] + slack
        apart = float(np.abs(one - two).max())
        if apart > allowed:
            raise Difference(
                f"{where}: {apart:.3g} apart, {allowed:.3g} allowed ({other.way}, after {other.steps} steps)"
            )

    def _half(self, where: str, p: Tensor, q: Tensor, kept: Tensor | None, held: Tensor | None, other: Side) -> None:
        one, two = wide(p), wide(q)
        if not torch.equal(one.isfinite(), two.isfinite()) or not torch.equal(one.isnan(), two.isnan()):
            raise Difference(f"{where}: NaN or infinity in other places ({other.way})")
        finite = one.isfinite()
        above = torch.nextafter(torch.maximum(p.abs(), q.abs()), torch.full_like(p, torch.inf)).double()
        spacing = above - torch.maximum(one.abs(), two.abs())
        if not ((one - two).abs() <= spacing)[finite].all():
            raise Difference(f"{where}: more than a spacing of {p.dtype} apart ({other.way})")
        if kept is not None and held is not None:
            # what was cut off is rounded in its turn, to a part in 2^8 or finer of half a spacing
            apart = (one + wide(kept) - two - wide(held)).abs()[finite]
            largest = max([1e-30, *one[finite].abs().flatten().tolist()])
            if not (apart <= spacing[finite] * torch.finfo(p.dtype).eps + 16 * SINGLE * largest).all():
                raise Difference(f"{where}: parameter and compensation together differ ({other.way})")


def wide(tensor: Tensor) -> Tensor:
    """Any tensor as float64, element by element."""
    dense = tensor.detach().to_dense() if tensor.is_sparse else tensor.detach()
    return (torch.view_as_real(dense.resolve_conj()) if dense.is_complex() else dense).double()
