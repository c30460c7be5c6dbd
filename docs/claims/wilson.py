"""Wilson et al. (2017, arXiv:1705.08292), section 3.3: data on which adaptive rules learn to say always yes.

The first number of a row is its label, +1 or -1, and gives it away; the next two are 1; then every row has numbers of
its own, one if its label is +1, five if -1, which no other row shares. Least squares, all rows in each step, from 0.
"""

from __future__ import annotations

import torch

import thalweg.optim as optim

ROWS, SHARE, OWN = 100, 0.6, 5
RULES = {
    "sgd": lambda w: optim.SGD(w, lr=0.2),
    "momentum": lambda w: optim.SGD(w, lr=0.02, momentum=0.9),
    "adagrad": lambda w: optim.Adagrad(w, lr=0.01),
    "rmsprop": lambda w: optim.RMSprop(w, lr=1e-4),
    "adam": lambda w: optim.Adam(w, lr=1e-3),
}


def data(first: int, count: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows whose own numbers begin at row `first` of all."""
    labels = torch.where(torch.arange(count) < SHARE * count, 1.0, -1.0).double()
    x = torch.zeros(count, size, dtype=torch.float64)
    x[:, 0], x[:, 1:3] = labels, 1.0
    for row, label in enumerate(labels):
        start = 3 + OWN * (first + row)
        x[row, start : start + (1 if label > 0 else OWN)] = 1.0
    return x, labels


def errors(rule: str, steps: int = 2000) -> tuple[float, float]:
    """The share of wrong signs on the rows trained on, and on new ones."""
    size = 3 + OWN * 2 * ROWS
    (x, labels), (new, told) = data(0, ROWS, size), data(ROWS, ROWS, size)
    w = torch.nn.Parameter(torch.zeros(size, dtype=torch.float64))
    optimizer = RULES[rule]([w])
    for _ in range(steps):
        optimizer.zero_grad()
        (x @ w - labels).square().mean().div(2).backward()
        optimizer.step()
    with torch.no_grad():
        return ((x @ w) * labels <= 0).double().mean().item(), ((new @ w) * told <= 0).double().mean().item()


def rows() -> list[str]:
    return ["| `{}` | {:.0%} | {:.0%} |".format(rule, *errors(rule)) for rule in RULES]


if __name__ == "__main__":
    print(*rows(), sep="\n")
