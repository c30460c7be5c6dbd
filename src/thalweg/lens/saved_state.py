"""What a saved state says: for each parameter its moments, and what they give away. No run, no data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

SECOND = ("max_exp_avg_sq", "exp_avg_sq", "square_avg", "sum")  # of Adam and its kin, RMSprop, Adagrad
FIRST = ("exp_avg", "momentum_buffer")
BUFFERS = ("running_mean", "running_var", "num_batches_tracked")  # in a model's state dict, and no parameters
FADED = 1e-6  # first moment over root of the second: beta1 = 0.9 takes 130 steps of zero gradients to get there


@dataclass(frozen=True)
class Saved:
    """One parameter's part of an optimizer's state."""

    name: str
    group: Mapping[str, Any]
    steps: float
    shape: tuple[int, ...]
    dtype: torch.dtype
    first: Tensor | None  # m, not corrected
    second: Tensor | None  # v, not corrected
    weight: Tensor | None

    @property
    def scale(self) -> Tensor | None:
        """The root of the corrected second moment: what eps is added to."""
        if self.second is None:
            return None
        betas = self.group.get("betas")
        correction = 1.0
        if betas is not None and self.steps > 0 and self.group.get("bias_correction", True):
            correction = 1 - float(betas[1]) ** self.steps
        return (self.second.double() / (correction or 1.0)).sqrt()

    @property
    def step(self) -> Tensor | None:
        """The last step, without decay; None where the state does not tell it."""
        lr = float(self.group["lr"])
        scale = self.scale
        if self.first is None:
            return None
        m = self.first.double()
        if scale is None:
            return lr * m
        betas = self.group.get("betas")
        correction = 1 - float(betas[0]) ** self.steps if betas is not None and self.steps > 0 else 1.0
        return lr * (m / (correction or 1.0)) / (scale + float(self.group.get("eps", 0.0)))

    @property
    def lost_share(self) -> float | None:
        """The share of elements whose step is under half a spacing of the weight; None without weights."""
        step, weight = self.step, self.weight
        if step is None or weight is None or not weight.is_floating_point():
            return None
        still = self.still
        moving = step != 0 if still is None else ~still
        if not moving.any():
            return None
        _, exponent = torch.frexp(weight.float().abs())
        bits = 1 - math.log2(torch.finfo(weight.dtype).eps)
        half = torch.ldexp(torch.tensor(0.5, dtype=torch.float64), exponent.double() - bits)
        return float((step.abs() < half)[moving].double().mean())

    @property
    def still(self) -> Tensor | None:
        """Which elements have had zero gradients, from the start or for long."""
        if self.second is None:
            return None if self.first is None else self.first == 0
        quiet = self.second == 0
        if self.first is None:
            return quiet
        return quiet | (self.first.double().abs() <= FADED * self.second.double().sqrt().amax())

    @property
    def still_rows(self) -> Tensor | None:
        """The same of whole rows: a row of a weight is a unit, for convolutions a channel."""
        still = self.still
        return None if still is None or still.dim() == 0 else still.flatten(1).all(1) if still.dim() > 1 else still

    @property
    def still_columns(self) -> Tensor | None:
        """The same of whole columns: what a unit of the layer before feeds."""
        still = self.still
        return still.transpose(0, 1).flatten(1).all(1) if still is not None and still.dim() > 1 else None


def parameters(state: Mapping[str, Any], weights: Mapping[str, Tensor] | None = None) -> list[Saved]:
    """Every parameter that has state, in the optimizer's order.

    Raises:
        ValueError: for a state without any parameter that this can read.
    """
    by_index = _named(state, weights)
    found = []
    for group in state["param_groups"]:
        for place, index in enumerate(group.get("params", ())):
            own = state["state"].get(index)
            if not isinstance(own, Mapping) or not own:
                continue
            names = group.get("param_names") or ()
            name, weight = by_index.get(index, (names[place] if place < len(names) else f"parameter {index}", None))
            first, second = _tensor(own, FIRST), _tensor(own, SECOND)
            seen = first if first is not None else second
            if seen is None or not seen.is_floating_point():
                continue
            steps = float(own.get("step", 0))
            found.append(Saved(name, group, steps, tuple(seen.shape), seen.dtype, first, second, weight))
    if not found:
        keys = sorted({str(key) for own in state["state"].values() if isinstance(own, Mapping) for key in own})
        what = f"only {', '.join(keys)}" if keys else "no state"
        raise ValueError(
            f"checkpoint: it holds {what} for its parameters; must hold at least one of {', '.join(FIRST + SECOND)} "
            "as floating-point tensors (SGD without momentum keeps nothing to look at)"
        )
    return found


def _named(state: Mapping[str, Any], weights: Mapping[str, Tensor] | None) -> dict[Any, tuple[str, Tensor]]:
    """Names and weights by index, where the model's weights are as many as the parameters and shapes agree."""
    if weights is None:
        return {}
    named = {name: value for name, value in weights.items() if not name.endswith(BUFFERS)}
    indices = [index for group in state["param_groups"] for index in group.get("params", ())]
    names = [name for group in state["param_groups"] for name in group.get("param_names") or ()]
    pairs: Sequence[tuple[Any, str]]
    if len(names) == len(indices) and set(names) <= set(named):
        pairs = list(zip(indices, names, strict=True))
    else:
        pairs = _by_shape(state, indices, named)
    for index, name in pairs:
        shape = _shape(state["state"].get(index))
        if shape is not None and shape != tuple(named[name].shape):
            raise ValueError(
                f"model: {name} has the shape {tuple(named[name].shape)}, the state of parameter {index} has {shape}; "
                "must be the weights of the model that this optimizer trained"
            )
    return {index: (name, named[name]) for index, name in pairs}


def _by_shape(state: Mapping[str, Any], indices: Sequence[Any], named: Mapping[str, Tensor]) -> list[tuple[Any, str]]:
    """In order; where the counts differ (weights in no group, or tied) each takes the next weight of its shape."""
    if len(indices) == len(named):
        return list(zip(indices, named, strict=True))
    left, pairs = list(named), []
    for index in indices:
        shape = _shape(state["state"].get(index))
        fitting = next((name for name in left if shape == tuple(named[name].shape)), None)
        if fitting is None:
            continue
        pairs.append((index, fitting))
        left = left[left.index(fitting) + 1 :]
    return pairs


def _shape(own: Any) -> tuple[int, ...] | None:
    seen = _tensor(own, FIRST + SECOND) if isinstance(own, Mapping) else None
    return None if seen is None else tuple(seen.shape)


def _tensor(own: Mapping[str, Any], names: Sequence[str]) -> Tensor | None:
    return next((own[name] for name in names if isinstance(own.get(name), Tensor)), None)
