"""What `quality.py` trains: three networks, and the optimizers with a learning rate that suits each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch

import thalweg.optim as optim
from thalweg.lab.task.builtin import charlm

Batch = tuple[torch.Tensor, torch.Tensor]
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Built = tuple[torch.nn.Module, Batch, Batch, Loss]  # the model, data to train, data held back, the loss

OPTIMIZERS: dict[str, tuple[Callable[..., torch.optim.Optimizer], dict[str, Any]]] = {
    "Adam": (optim.Adam, {"lr": 2e-3}),
    "AdamW": (optim.AdamW, {"lr": 2e-3, "weight_decay": 0.05}),
    "RAdam": (optim.RAdam, {"lr": 2e-3}),
    "SGD, momentum 0.9": (optim.SGD, {"lr": 2e-2, "momentum": 0.9}),
    "Lion": (optim.Lion, {"lr": 3e-4}),
}


@cache
def _digits() -> tuple[torch.Tensor, torch.Tensor]:
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    return torch.tensor(pixels, dtype=torch.float32) / 16, torch.tensor(labels)


def digits() -> Built:
    """A perceptron on scikit-learn's digits, a third of which is kept for the measure."""
    x, y = _digits()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    train, held = order[600:], order[:600]
    model = torch.nn.Sequential(
        torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10)
    )
    return model, (x[train], y[train]), (x[held], y[held]), torch.nn.functional.cross_entropy


def narrow() -> Built:
    """Sixteen layers of 64, whose gradients differ in size from layer to layer, on a function of eight numbers."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(4096, 8, generator=draw)
    y = torch.sin(2 * x[:, :4]).sum(1, keepdim=True) + x[:, 4:].prod(1, keepdim=True)
    layers: list[torch.nn.Module] = [torch.nn.Linear(8, 64), torch.nn.Tanh()]
    for _ in range(14):
        layers += [torch.nn.Linear(64, 64), torch.nn.Tanh()]
    for layer in layers:
        if isinstance(layer, torch.nn.Linear):
            torch.nn.init.xavier_normal_(layer.weight, gain=1.3)
    model = torch.nn.Sequential(*layers, torch.nn.Linear(64, 1))
    return model, (x[:3072], y[:3072]), (x[3072:], y[3072:]), torch.nn.functional.mse_loss


@cache
def _text() -> tuple[Batch, Batch]:
    task: Any = charlm.task()
    x, y = task.validation
    return task.train, (x[:256], y[:256])  # all 1,024 lines would take a fifth of the time to score


def characters() -> Built:
    """The lab's `charlm`: two blocks of attention on Python's standard library. Every weight has 4,096 elements or
    more, embeddings too, and so small state; biases and norms, 2 % of the 116,576, have float32."""
    train, held = _text()
    return charlm.Transformer(), train, held, charlm.loss


def cosine(optimizer: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.LRScheduler:
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)


@dataclass(frozen=True)
class Network:
    """How a network is trained. `rates`: learning rates other than OPTIMIZERS has."""

    build: Callable[[], Built]
    steps: int
    batch: int = 64
    schedule: Callable[[torch.optim.Optimizer, int], torch.optim.lr_scheduler.LRScheduler] = cosine
    rates: dict[str, float] = field(default_factory=dict)

    def optimizer(self, name: str, model: torch.nn.Module, state_dtype: str) -> torch.optim.Optimizer:
        cls, settings = OPTIMIZERS[name]
        return cls(model.parameters(), state_dtype=state_dtype, **{**settings, "lr": self.rate(name)})

    def rate(self, name: str) -> float:
        return self.rates.get(name, OPTIMIZERS[name][1]["lr"])


NETWORKS = {
    "digits": Network(digits, 800),
    "deep and narrow": Network(narrow, 1000),
    "characters": Network(
        characters,
        500,
        32,
        charlm.warm_up_and_cosine,
        {"Adam": 4e-3, "AdamW": 4e-3, "RAdam": 8e-3, "SGD, momentum 0.9": 0.1, "Lion": 1e-3},
    ),
}
