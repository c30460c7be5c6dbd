"""Choi et al. (2019, arXiv:1910.05446): Adam holds momentum, as eps grows and lr with it.

With lr eps / (1 - beta1), and without bias correction, Adam's step tends to that of momentum with lr. A least-squares
problem, 200 steps; how far apart the two end, in units of the way that momentum went.
"""

from __future__ import annotations

import torch

import thalweg.optim as optim

STEPS, RATE, MOMENTUM = 200, 0.02, 0.9
EPSILONS = (1e-8, 1.0, 1e2, 1e4, 1e6)


def end(make: object) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(50, 10, dtype=torch.float64, generator=generator)
    y = torch.randn(50, dtype=torch.float64, generator=generator)
    w = torch.nn.Parameter(torch.zeros(10, dtype=torch.float64))
    optimizer = make([w])  # type: ignore[operator]
    for _ in range(STEPS):
        optimizer.zero_grad()
        (x @ w - y).square().mean().backward()
        optimizer.step()
    return w.detach()


def apart(eps: float) -> float:
    momentum = end(lambda w: optim.SGD(w, lr=RATE, momentum=MOMENTUM))
    lr = RATE * eps / (1 - MOMENTUM)
    adam = end(lambda w: optim.Adam(w, lr=lr, betas=(MOMENTUM, 0.999), eps=eps, bias_correction=False))
    return ((adam - momentum).norm() / momentum.norm()).item()


def rows() -> list[str]:
    return [f"| {eps:g} | {apart(eps):.1e} |" for eps in EPSILONS]


if __name__ == "__main__":
    print(*rows(), sep="\n")
