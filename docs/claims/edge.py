"""Cohen et al. (2021, arXiv:2103.00065): gradient descent lets the sharpness rise to 2 / lr, and stays there.

64 digits, a tanh network of one hidden layer, squared loss, all rows in each step, float64. The sharpness is the
largest eigenvalue of the loss's second derivative, by power iteration.
"""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits

import thalweg.optim as optim

ROWS, HIDDEN = 64, 16
RATES = {0.2: 2000, 0.3: 1000, 0.4: 600}  # and how many steps each gets


def problem() -> tuple[torch.nn.Module, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    pixels, labels = load_digits(return_X_y=True)
    x = torch.as_tensor(pixels[:ROWS] / 8 - 1) / 4
    y = torch.nn.functional.one_hot(torch.as_tensor(labels[:ROWS]), 10).double()
    model = torch.nn.Sequential(torch.nn.Linear(64, HIDDEN), torch.nn.Tanh(), torch.nn.Linear(HIDDEN, 10)).double()
    return model, x, y


def squared_loss(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (model(x) - y).square().sum(1).mean() / 2


def sharpness(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, rounds: int = 30) -> float:
    parameters = list(model.parameters())
    slopes = torch.autograd.grad(squared_loss(model, x, y), parameters, create_graph=True)
    generator = torch.Generator().manual_seed(0)
    direction = [torch.randn(p.shape, dtype=p.dtype, generator=generator) for p in parameters]
    value = 0.0
    for _ in range(rounds):
        norm = sum(part.square().sum() for part in direction).sqrt()
        direction = [part / norm for part in direction]
        product = torch.autograd.grad(slopes, parameters, direction, retain_graph=True)
        value = sum((a * b).sum() for a, b in zip(product, direction, strict=True)).item()
        direction = list(product)
    return value


def follow(lr: float, steps: int, looks: int = 4) -> tuple[float, float]:
    """The sharpness at the start, and its mean over some looks in the last fifth of the steps; both times lr / 2."""
    model, x, y = problem()
    start = sharpness(model, x, y)
    optimizer = optim.SGD(model.parameters(), lr=lr)
    late = []
    for step in range(1, steps + 1):
        optimizer.zero_grad()
        squared_loss(model, x, y).backward()
        optimizer.step()
        if step > 0.8 * steps and step % (steps // (5 * looks)) == 0:
            late.append(sharpness(model, x, y))
    return start * lr / 2, sum(late) / len(late) * lr / 2


def rows() -> list[str]:
    return ["| {} | {:.2f} | {:.2f} |".format(lr, *follow(lr, steps)) for lr, steps in RATES.items()]


if __name__ == "__main__":
    print(*rows(), sep="\n")
