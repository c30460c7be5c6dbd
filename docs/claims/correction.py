"""How much longer Adam's step is without bias correction, step by step: on a gradient that never changes."""

from __future__ import annotations

import torch

import thalweg

STEPS = (1, 12, 100)


def lengths(bias_correction: bool, steps: int) -> list[float]:
    """The length of each step. eps is put aside, as it is in the formula."""
    x = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    made = thalweg.optim.Adam([x], lr=1.0, eps=1e-30, bias_correction=bias_correction)
    found = []
    for _ in range(steps):
        before = x.item()
        x.grad = torch.ones_like(x)
        made.step()
        found.append(before - x.item())
    return found


def ratios() -> list[float]:
    """Of steps 1, 2, ...: (1 - 0.9 ** t) / sqrt(1 - 0.999 ** t) by the formula."""
    pairs = zip(lengths(False, max(STEPS)), lengths(True, max(STEPS)), strict=True)
    return [without / corrected for without, corrected in pairs]


def rows() -> list[str]:
    found = ratios()
    return [f"| {step} | {found[step - 1]:.2f} x |" for step in STEPS]


if __name__ == "__main__":
    print(*rows(), sep="\n")
