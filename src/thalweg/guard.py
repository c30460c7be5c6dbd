"""What looks at all gradients before a step: clipping by their norm, numbers that are not finite, a gradient scaler.

What comes of it is one factor for the whole step, which the kernels apply as they read: no gradient is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.utils import get_total_norm

from thalweg.hyperparameters import is_number, plain
from thalweg.memory import is_shard

Tensor = torch.Tensor

ON_NONFINITE = ("propagate", "skip_step", "raise")


@dataclass
class Guard:
    """`look` at the gradients of a step; `clipped_steps` and `skipped_steps` are plain counts, read without a wait.

    `clip_norm`: the largest Euclidean norm that all gradients together may have, as in torch's `clip_grad_norm_`.
    `on_nonfinite`: what an infinite or NaN gradient does: it goes its way ('propagate'), the step is left out
    ('skip_step'; no parameter moves or ages), or FloatingPointError is raised before anything has moved ('raise').
    """

    clip_norm: float | None = None
    on_nonfinite: str = "propagate"
    clipped_steps: int = 0
    skipped_steps: int = 0
    last_norm: float | None = None

    def __post_init__(self) -> None:
        norm = self.clip_norm
        if norm is not None and not (is_number(norm) and norm > 0):
            raise ValueError(f"clip_norm={norm!r}: allowed is a number above 0, or None")
        if self.on_nonfinite not in ON_NONFINITE:
            raise ValueError(f"on_nonfinite={self.on_nonfinite!r}: allowed are {', '.join(map(repr, ON_NONFINITE))}")

    @property
    def idle(self) -> bool:
        """True where there is nothing to look for."""
        return self.clip_norm is None and self.on_nonfinite == "propagate"

    def look(
        self, gradients: Sequence[Tensor | None], scales: Sequence[float], grad_scale: Any, found_inf: Any
    ) -> float | None:
        """The factor for all gradients of this step; None where the step is left out.

        `scales`: each gradient's own `gradient_scale`. `grad_scale`, `found_inf`: what a gradient scaler hands over.
        """
        factor = 1.0 if grad_scale is None else 1.0 / plain(grad_scale)
        if found_inf is not None and plain(found_inf):
            self.skipped_steps += 1
            return None
        if self.idle:
            return factor
        norm = abs(factor) * _norm(gradients, scales)
        self.last_norm = norm.item()
        if self.on_nonfinite != "propagate" and not norm.isfinite():
            return self._nonfinite(gradients, factor, norm)
        if self.clip_norm is None:
            return factor
        # As torch works it out, in the norm's own precision.
        clip = torch.clamp(self.clip_norm / (norm + 1e-6), max=1.0).item()
        self.clipped_steps += clip != 1.0
        return factor * clip

    def _nonfinite(self, gradients: Sequence[Tensor | None], factor: float, norm: Tensor) -> float | None:
        bad = [
            f"{index} (shape {tuple(g.shape)})"
            for index, g in enumerate(gradients)
            if g is not None and not (g.to_dense() if g.layout is not torch.strided else g).isfinite().all()
        ]
        if self.on_nonfinite == "raise":
            which = f"the gradient of parameter {', '.join(bad)} is" if bad else "the norm of all gradients together is"
            raise FloatingPointError(f"{which} not finite; nothing was stepped (on_nonfinite='raise')")
        self.skipped_steps += 1
        return None


def _norm(gradients: Sequence[Tensor | None], scales: Sequence[float]) -> Tensor:
    """The norm of all gradients, each times its own scale."""
    present = [(g, scale) for g, scale in zip(gradients, scales, strict=True) if g is not None]
    dense = [(g.coalesce().values() if g.layout is not torch.strided else g) for g, _ in present]
    if all(scale == 1 for _, scale in present):
        norm = get_total_norm(dense)
    else:
        # inside a group as torch adds up, then over the groups
        by_scale: dict[float, list[Tensor]] = {}
        for g, (_, scale) in zip(dense, present, strict=True):
            by_scale.setdefault(scale, []).append(g)
        norm = torch.linalg.vector_norm(torch.stack([abs(s) * _full(get_total_norm(gs)) for s, gs in by_scale.items()]))
    return _full(norm)


def _full(norm: Tensor) -> Tensor:
    whole: Any = norm
    return whole.full_tensor() if is_shard(norm) else norm
