"""What looks at all gradients before a step: clipping by their norm, numbers that are not finite, a gradient scaler.

What comes of it is one factor for the whole step, which the kernels apply as they read: no gradient is written. Where
kernels run on a device of their own the factor stays there, with the word whether the step is left out, so that the
host does not wait: a `Verdict`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from thalweg.optimizers.large_gradients import LARGE, brought_in
from thalweg.optimizers.norms import total_norm, total_norm_there
from thalweg.rule.hyperparameters import is_number, plain
from thalweg.tensors.layout import local
from thalweg.tensors.subclasses import has_numbers

Tensor = torch.Tensor
Verdict = Tensor  # float64: the factor of all gradients, and 1 where the step is left out, else 0

ON_NONFINITE = ("propagate", "skip_step", "raise")


@dataclass
class Clipping:
    """`look` at the gradients of a step; `clipped_steps`, `skipped_steps` and `last_norm` tell what was seen.

    They are plain numbers. Of parameters that a GPU steps they are fetched from there when they are read.

    `clip_norm`: the largest Euclidean norm that all gradients together may have, as in torch's `clip_grad_norm_`.
    `on_nonfinite`: what an infinite or NaN gradient does: it goes its way ('propagate'), the step is left out
    ('skip_step'; no parameter moves or ages), or FloatingPointError is raised before anything has moved ('raise').
    `group`: the process group whose processes each hold other parameters of the same model. Inside a
    `ZeroRedundancyOptimizer` it is that one's; the stages of a pipeline set it. DTensors know theirs by themselves.
    """

    clip_norm: float | None = None
    on_nonfinite: str = "propagate"
    group: Any = None
    _clipped: int = 0
    _skipped: int = 0
    _last_norm: float | Tensor | None = None
    _counts: Tensor | None = None  # on the device: steps that were clipped, and left out
    large: bool = False  # the norm is so large that gradients may overflow where they are read: see `bring_in`
    due: bool | Tensor = False  # what the present step adds to these when it is done

    def __post_init__(self) -> None:
        norm = self.clip_norm
        if norm is not None and not (is_number(norm) and norm > 0):
            raise ValueError(f"clip_norm={norm!r}: allowed is a number above 0, or None")
        if self.on_nonfinite not in ON_NONFINITE:
            raise ValueError(f"on_nonfinite={self.on_nonfinite!r}: allowed are {', '.join(map(repr, ON_NONFINITE))}")

    @property
    def clipped_steps(self) -> int:
        return self._clipped + (0 if self._counts is None else int(self._counts[0]))

    @property
    def skipped_steps(self) -> int:
        return self._skipped + (0 if self._counts is None else int(self._counts[1]))

    @property
    def last_norm(self) -> float | None:
        """The norm of all gradients in the last step that was looked at."""
        return None if self._last_norm is None else float(self._last_norm)

    @property
    def idle(self) -> bool:
        """True where there is nothing to look for."""
        return self.clip_norm is None and self.on_nonfinite == "propagate"

    def look(
        self, gradients: Sequence[Tensor | None], scales: Sequence[float], grad_scale: Any, found_inf: Any
    ) -> float | None:
        """The factor for all gradients of this step; None where the step is left out.

        `scales`: each gradient's own `gradient_scale`. `grad_scale`, `found_inf`: what a gradient scaler hands over.
        Of gradients without numbers (fake tensors, the meta device) nothing is seen.
        """
        self.due = self.large = False
        factor = 1.0 if grad_scale is None else 1.0 / plain(grad_scale)
        if found_inf is not None and plain(found_inf):
            self._skipped += 1
            return None
        if self.idle:
            return factor
        try:
            self._last_norm = norm = abs(factor) * total_norm(gradients, scales, self.group)
        except Exception:  # asked for where it fails, not in every step
            if all(g is None or has_numbers(local(g)) for g in gradients):
                raise
            self._last_norm = None
            return factor
        if self.on_nonfinite != "propagate" and not math.isfinite(norm):
            return self._nonfinite(gradients)
        self.large = LARGE < norm < math.inf
        if self.clip_norm is None:
            return factor
        ratio = self.clip_norm / (norm + 1e-6)  # as torch has it
        clip = 1.0 if ratio > 1 else ratio  # in this order a NaN stays
        self.due = clip != 1.0
        return factor * clip

    def bring_in(
        self,
        params: Sequence[Tensor],
        gradients: Sequence[Tensor | None],
        scales: Sequence[float],
        factor: float | Tensor | None,
    ) -> tuple[Sequence[Tensor | None], float | Tensor | None]:
        """What was looked at and its factor. Where gradients are `large`: these times the factor, and 1; or None, where
        one is not finite in the precision in which its parameter is stepped."""
        if not self.large or factor is None or isinstance(factor, Tensor):
            return gradients, factor
        near = brought_in(params, gradients, factor)
        if self.on_nonfinite != "propagate" and not math.isfinite(total_norm(near, scales, self.group)):
            self.due = False
            return near, self._nonfinite(near, " in the step's precision")
        return near, 1.0

    def count(self) -> None:
        """The step that was looked at is done."""
        if isinstance(self.due, Tensor):
            self._counts = _store(self._counts, self.due, add=True)
        else:
            self._clipped += self.due
        self.due = False

    def judge(
        self, gradients: Sequence[Tensor | None], scales: Sequence[float], grad_scale: Any, found_inf: Any
    ) -> Verdict:
        """The same, worked out on the gradients' device, in torch operations that a CUDA graph can hold."""
        self.large = False
        device = next((g.device for g in gradients if g is not None), torch.device("cpu"))
        factor, clip, left_out = (_there(value, device) for value in (1.0, 1.0, 0.0))
        if grad_scale is not None:
            factor = factor / _there(grad_scale, device)
        if found_inf is not None:
            left_out = (_there(found_inf, device) != 0).double()
        if not self.idle:
            norm = factor.abs() * total_norm_there(gradients, scales, self.group).to(device)
            # In place where there is one: a graph writes where it wrote when it was captured.
            self._last_norm = _store(self._last_norm, norm)
            if self.on_nonfinite == "skip_step":
                left_out = torch.maximum(left_out, (~norm.isfinite()).double())
            if self.clip_norm is not None:
                clip = torch.clamp(self.clip_norm / (norm + 1e-6), max=1.0)
        taken = 1 - left_out
        self.due = torch.stack([(clip != 1) * taken, left_out])
        return torch.stack([factor * clip, left_out])

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: plain numbers."""
        own = {"_clipped": self.clipped_steps, "_skipped": self.skipped_steps, "_last_norm": self.last_norm}
        return {**self.__dict__, **own, "_counts": None, "group": None, "due": False}

    def _nonfinite(self, gradients: Sequence[Tensor | None], where: str = "") -> float | None:
        bad = [
            f"{index} (shape {tuple(g.shape)})"
            for index, g in enumerate(gradients)
            if g is not None and not (g.to_dense() if g.layout is not torch.strided else g).isfinite().all()
        ]
        if self.on_nonfinite == "raise":
            which = f"the gradient of parameter {', '.join(bad)} is" if bad else "the norm of all gradients together is"
            raise FloatingPointError(f"{which} not finite{where}; nothing was stepped (on_nonfinite='raise')")
        self._skipped += 1
        return None


def _there(value: Any, device: torch.device) -> Tensor:
    """A number on the device, without dimensions."""
    if isinstance(value, Tensor):
        return value.detach().reshape(()).to(device, torch.float64, non_blocking=True)
    return torch.full((), float(value), dtype=torch.float64, device=device)


def _store(held: Any, new: Tensor, add: bool = False) -> Tensor:
    """The new numbers in the place of the old ones, or added to them."""
    if not isinstance(held, Tensor) or held.device != new.device or held.dtype != new.dtype:
        return new.clone()
    return held.add_(new) if add else held.copy_(new)
