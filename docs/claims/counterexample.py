"""Reddi et al. (2018, arXiv:1904.09237), section 3: a sequence of linear losses on [-1, 1] on which Adam goes uphill.

Once in 101 steps the loss is 1010 x, else -10 x: on average it rises with x, so -1 is best. Adam divides the one large
gradient by its own size and has forgotten it long before the next; AMSGrad does not forget.
"""

from __future__ import annotations

import math

import torch

import thalweg.optim as optim

STEPS, PERIOD = 40_000, 101
RATE, BETAS = 0.5, (0.9, 0.99)


def end(amsgrad: bool, steps: int = STEPS) -> float:
    """Where x is after so many steps at a rate that falls as 1 / sqrt(t), kept within [-1, 1] after each."""
    x = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = optim.Adam([x], lr=RATE, betas=BETAS, amsgrad=amsgrad)
    for step in range(1, steps + 1):
        optimizer.param_groups[0]["lr"] = RATE / math.sqrt(step)
        x.grad = torch.full_like(x, 1010.0 if step % PERIOD == 1 else -10.0)
        optimizer.step()
        with torch.no_grad():
            x.clamp_(-1, 1)
    return x.item()


def rows() -> list[str]:
    return [f"| `{name}` | {end(amsgrad):+.3f} |" for name, amsgrad in (("adam", False), ("amsgrad", True))]


if __name__ == "__main__":
    print(*rows(), sep="\n")
