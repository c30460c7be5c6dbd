"""What one step does to one parameter: read before and after it, with nothing changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

SECOND = ("exp_avg_sq", "square_avg")


@dataclass(frozen=True)
class TensorStep:
    """Numbers of one parameter at one step. Sums of squares, so that they add up over parameters."""

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
        return float((self.step / self.weight) ** 0.5) if self.weight > 0 else float("nan")


class WatchedParameter:
    """One parameter: `before` and `after` a step that is watched."""

    def __init__(self, param: Tensor) -> None:
        self.param = param
        self.old: Tensor | None = None
        self.last: Tensor | None = None  # the last step, for the next gradient to look back on
        self.moved: Tensor | None = None  # rows that ever had a gradient
        self.expected = float("nan")

    def look_back(self) -> tuple[float, float, float]:
        """g . d, g . g and d . d of the gradient and the last step, which is let go; zeros where it is not known."""
        last, self.last = self.last, None
        grad = self.param.grad
        if last is None or grad is None or grad.is_sparse:
            return 0.0, 0.0, 0.0
        g, d = grad.detach().float().flatten(), last.flatten()
        return float(g.dot(d)), float(g.dot(g)), float(d.dot(d))

    def before(self, state: Mapping[str, Any], group: Mapping[str, Any]) -> None:
        """Copy the weight, and note what the second moment expects."""
        self.old = None
        if self.param.grad is None or self.param.grad.is_sparse:
            return
        self.old = self.param.detach().clone()
        second = next((state[name] for name in SECOND if isinstance(state.get(name), Tensor)), None)
        self.expected = float("nan")
        steps = float(state.get("step", 0) or 0)
        if second is not None and second.is_floating_point() and steps > 0:
            beta2 = float(group["betas"][1]) if "betas" in group else 0.0
            self.expected = float(second.float().mean()) / (1 - beta2**steps)

    def after(self, state: Mapping[str, Any], group: Mapping[str, Any]) -> TensorStep | None:
        """The numbers of the step; None where there was no gradient."""
        old, self.old = self.old, None
        grad = self.param.grad
        if old is None or grad is None:
            return None
        p, g = self.param.detach(), grad.detach().float()
        step = p.float() - old.float()
        decay = float(group.get("weight_decay", 0.0) or 0.0) if group.get("decoupled_weight_decay") else 0.0
        if decay:
            step = step + float(group["lr"]) * decay * old.float()
        self.last = step
        squares = float(g.square().sum())
        nonzero = g != 0
        self._note_rows(nonzero)
        count = int(nonzero.sum())
        return TensorStep(
            size=p.numel(),
            gradient=squares,
            weight=float(old.float().square().sum()),
            step=float(step.square().sum()),
            promise=float((g * step).sum()),
            out_of_date=squares / p.numel() / self.expected if self.expected > 0 else float("nan"),
            zeros=1 - count / p.numel(),
            ruled_by_eps=_ruled(state, group, nonzero),
            lost=float((p == old)[nonzero].float().mean()) if count and float(group["lr"]) > 0 else 0.0,
            not_finite=int((~g.isfinite()).sum()),
        )

    def _note_rows(self, nonzero: Tensor) -> None:
        rows = nonzero.flatten(1).any(1) if nonzero.dim() > 1 else nonzero
        self.moved = rows if self.moved is None else self.moved | rows


def _ruled(state: Mapping[str, Any], group: Mapping[str, Any], nonzero: Tensor) -> float:
    second = next((state[name] for name in SECOND if isinstance(state.get(name), Tensor)), None)
    eps = group.get("eps")
    if second is None or not second.is_floating_point() or not isinstance(eps, float) or not nonzero.any():
        return float("nan")
    steps = float(state.get("step", 0) or 0)
    correction = 1 - float(group["betas"][1]) ** steps if "betas" in group and steps > 0 else 1.0
    return float(((second.float() / correction).sqrt() < eps)[nonzero].float().mean())
