"""Kunstner et al. (2024, arXiv:2402.19449): with heavy-tailed classes gradient descent loses the rare ones.

A linear softmax on random inputs, more numbers a row than rows, 64 classes with 128 / k rows each, all rows in every
step. The loss is that of classes by how frequent they are: each group has about a quarter of the rows.
"""

from __future__ import annotations

import torch

import thalweg.optim as optim

CLASSES, WIDTH, STEPS = 64, 640, 100
RULES = {
    "sgd": lambda params, lr: optim.SGD(params, lr=lr),
    "momentum": lambda params, lr: optim.SGD(params, lr=lr, momentum=0.9),
    "adam": lambda params, lr: optim.Adam(params, lr=lr),
}
RATES = {"sgd": (0.03, 0.06, 0.1, 0.2), "momentum": (0.03, 0.06, 0.1, 0.2), "adam": (1e-3, 3e-3, 1e-2, 3e-2)}


def problem() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Inputs, labels, and for each row the group of its class, 0 the most frequent."""
    generator = torch.Generator().manual_seed(0)
    sizes = torch.tensor([max(1, 128 // (k + 1)) for k in range(CLASSES)])
    labels = torch.arange(CLASSES).repeat_interleave(sizes)
    inputs = torch.rand(len(labels), WIDTH, generator=generator)
    groups = torch.arange(len(labels)) * 4 // len(labels)
    return inputs, labels, groups[sizes.cumsum(0) - 1][labels]


def end(rule: str, lr: float, steps: int = STEPS) -> list[float]:
    """The loss over all rows, then over each group's, after so many steps from zero."""
    inputs, labels, groups = problem()
    weights = torch.zeros(CLASSES, WIDTH, requires_grad=True)
    optimizer = RULES[rule]([weights], lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(inputs @ weights.T, labels).backward()
        optimizer.step()
    with torch.no_grad():
        each = torch.nn.functional.cross_entropy(inputs @ weights.T, labels, reduction="none")
    return [float(each.mean()), *(float(each[groups == group].mean()) for group in range(4))]


def best(rule: str, steps: int = STEPS) -> tuple[float, list[float]]:
    """The rate whose loss over all rows is lowest, and its losses."""
    found = {lr: end(rule, lr, steps) for lr in RATES[rule]}
    return min(found.items(), key=lambda pair: pair[1][0])


def rows(steps: int = STEPS) -> list[str]:
    return [
        f"| `{rule}` | {lr:g} | " + " | ".join(f"{loss:.3f}" for loss in losses) + " |"
        for rule in RULES
        for lr, losses in [best(rule, steps)]
    ]


if __name__ == "__main__":
    print(*rows(), sep="\n")
