"""Caution around any rule: what a step would do against the gradient is left undone.

Liang et al. 2024, arXiv:2411.16085:

    u = theta_{t-1} - theta_t, as the rule has it;   phi = [u g > 0]
    theta_t = theta_{t-1} - u phi d / (sum(phi) + 1)                          d: how many elements the tensor has

What is left is made larger, so that the step of the tensor keeps about its size. The paper's code divides by the mean
of phi, but by no less than 1e-3, which differs only where almost nothing agrees.
"""

from __future__ import annotations

import torch

from thalweg.rule.words import sign

Tensor = torch.Tensor


def cautious(before: Tensor, after: Tensor, g: Tensor) -> Tensor:
    """Where a parameter goes from `before`, when its rule would bring it to `after`. NaN goes through."""
    agreement = sign(before - after) * sign(g)  # of signs: u g itself may be too small for its dtype
    scale = after.numel() / ((agreement > 0).sum(dtype=after.dtype) + 1)
    return torch.where(agreement <= 0, before, before + scale * (after - before))
