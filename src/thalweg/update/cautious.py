"""Caution around any rule: what a step would do against the gradient is left undone.

Liang et al. 2024, arXiv:2411.16085:

    u = theta_{t-1} - theta_t, as the rule has it;   phi = [u g > 0]
    theta_t = theta_{t-1} - u phi / max(mean(phi), 1e-3)

What is left is made larger, so that the step of the tensor keeps about its size. This is the released code's scale; the
paper's text has d / (sum(phi) + 1) for a tensor of d elements, which halves the step of a single number and shortens
that of any small tensor (a bias of 6: by a seventh).
"""

from __future__ import annotations

import torch

from thalweg.rule.words import sign

Tensor = torch.Tensor
LEAST = 1e-3  # of the mean


def cautious(before: Tensor, after: Tensor, g: Tensor) -> Tensor:
    """Where a parameter goes from `before`, when its rule would bring it to `after`. NaN goes through."""
    agreement = sign(before - after) * sign(g)  # of signs: u g itself may be too small for its dtype
    scale = after.numel() / (agreement > 0).sum(dtype=after.dtype).clamp(min=LEAST * after.numel())
    return torch.where(agreement <= 0, before, before + scale * (after - before))
