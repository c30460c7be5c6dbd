"""Runs with one planted fault each, and sound ones: digits, six small models, any of torch's optimizers.

The thresholds of `thalweg.lens.pathologies` were chosen on the models MADE_ON and seeds under 10; HELD_OUT and seeds
from 10 on are for reporting alone.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import nn

import thalweg

STEPS = 240


class LSTM(nn.Module):
    """An image as eight rows of eight pixels, one after another."""

    def __init__(self, kind=nn.LSTM):
        super().__init__()
        self.cells = kind(8, 32, batch_first=True)
        self.head = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10))

    def forward(self, x):
        return self.head(self.cells(x.unflatten(1, (8, 8)))[0][:, -1])


class Transformer(nn.Module):
    """The same rows, seen all at once."""

    def __init__(self):
        super().__init__()
        self.read = nn.Linear(8, 32)
        self.place = nn.Parameter(0.02 * torch.randn(8, 32))
        self.block = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True, norm_first=True)
        self.head = nn.Linear(32, 10)

    def forward(self, x):
        return self.head(self.block(self.read(x.unflatten(1, (8, 8))) + self.place).mean(1))


class Residual(nn.Module):
    """Three blocks of LayerNorm and two linear layers, each added to what it was given."""

    def __init__(self):
        super().__init__()
        self.read = nn.Linear(64, 32)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(32), nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 32)) for _ in range(3)
        )
        self.head = nn.Linear(32, 10)

    def forward(self, x):
        x = self.read(x)
        for block in self.blocks:
            x = x + block(x)
        return self.head(x)


def mlp():
    return nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 32), nn.ReLU(), nn.Linear(32, 10))


def cnn():
    return nn.Sequential(
        *(nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10)),
    )


MADE_ON: dict[str, Callable[[], nn.Module]] = {"mlp": mlp, "cnn": cnn, "lstm": LSTM}
HELD_OUT: dict[str, Callable[[], nn.Module]] = {
    "residual": Residual,
    "transformer": Transformer,
    "gru": lambda: LSTM(nn.GRU),
}


@dataclass
class Plan:
    """How a run differs from a sound one."""

    finding: str | None = None
    make: Any = torch.optim.Adam
    settings: dict[str, Any] = field(default_factory=lambda: {"lr": 3e-3})
    batch: int = 32
    change: Callable[[nn.Module, int], nn.Module] = lambda model, seed: model
    loss: Callable[[Any, Any], Any] = nn.functional.cross_entropy
    passes: int = 1
    zero: bool = True
    order: str = "shuffled"
    noise: float = 0.0
    inputs: Callable[[Any], Any] = lambda pixels: pixels
    dtype: torch.dtype = torch.float32
    factor: Callable[[int], float] | None = None  # on lr, by step
    scale: Callable[[int], float] = lambda step: 1.0  # on the loss
    members: Callable[[nn.Module, int], list[Any]] = lambda model, seed: list(model.parameters())


def adam(**settings):
    return {"lr": 3e-3} | settings


def linears(model):
    return [layer for layer in model.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]


@torch.no_grad()
def kill(model, seed):
    """Units that a ReLU follows are pushed below it."""
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Sequential):
            for before, after in pairwise(layer):
                if isinstance(before, nn.Linear | nn.Conv2d) and isinstance(after, nn.ReLU):
                    before.bias[: len(before.bias) // 2] = -60.0
        elif name.endswith("linear1"):
            layer.bias[: len(layer.bias) // 2] = -60.0
    return model


@torch.no_grad()
def swell(model, seed):
    for layer in linears(model):
        layer.weight.mul_(8)
    return model


def deepen(model, seed):
    """Eight sigmoids between the inputs and the model... where gradients have to come back through them."""
    return nn.Sequential(*[layer for _ in range(8) for layer in (nn.Linear(64, 64), nn.Sigmoid())], model)


def freeze(model, seed):
    if seed % 3 == 1:
        next(model.parameters()).requires_grad_(False)
    return model


def members(model, seed):
    own = list(model.parameters())
    return own if seed % 3 == 1 else own[2:] if seed % 3 == 2 else own[:-2]


def summed(z, y):
    return nn.functional.cross_entropy(z, y, reduction="sum")


FAULTS: dict[str, Callable[[int], Plan]] = {
    "lr too low": lambda s: Plan("lr_too_low", settings=adam(lr=3e-5)),
    "lr too high": lambda s: Plan("lr_too_high", settings=adam(lr=0.5)),
    "no warm-up": lambda s: Plan("no_warm_up", settings=adam(lr=0.06)),
    "vanishing gradients": lambda s: Plan("vanishing_gradients", change=deepen),
    "exploding gradients": lambda s: Plan("exploding_gradients", change=swell),
    "dead units": lambda s: Plan("dead_units", change=kill),
    "layer never moves": lambda s: Plan("layer_never_moves", change=freeze, members=members),
    "bf16 stall": lambda s: Plan("lost_to_rounding", settings=adam(lr=1e-4), dtype=torch.bfloat16),
    "decay on norms": lambda s: Plan("decay_on_norms", torch.optim.AdamW, adam(weight_decay=1.0)),
    "beta2 too long": lambda s: Plan(  # at a rate at which it has consequences
        "beta2_too_long", settings=adam(lr=1e-2, betas=(0.9, 0.9999)), scale=lambda t: 0.02 if t < 50 else 1.0
    ),
    "beta2 too short": lambda s: Plan("beta2_too_short", settings=adam(betas=(0.9, 0.5))),
    "eps rules": lambda s: (
        Plan("eps_too_large", settings=adam(eps=0.5))
        if s % 2
        else Plan("loss_scaled_down", loss=lambda z, y: nn.functional.cross_entropy(z, y) / 64_000)
    ),
    "batch too small": lambda s: Plan("batch_too_small", batch=1),
    "loss not divided": lambda s: Plan("loss_not_divided", **({"loss": summed} if s % 2 else {"passes": 4})),
    "zero_grad forgotten": lambda s: Plan("zero_grad_forgotten", zero=False),
    "not shuffled": lambda s: Plan("not_shuffled", order="sorted"),
    "label noise": lambda s: Plan("label_noise", noise=0.3),
    "inputs not normalized": lambda s: Plan("inputs_not_normalized", inputs=lambda x: (x + 1) * 127),
    "schedule ended early": lambda s: Plan(
        "schedule_over",
        factor=lambda t: (
            max(0.0, 1 - t / 60) if s % 2 else 0.5 + 0.5 * float(torch.cos(torch.tensor(2 * t / STEPS * 3.14159265)))
        ),
    ),
    "logits drifting": lambda s: Plan(
        "logits_drifting", loss=lambda z, y: nn.functional.cross_entropy(z, y) - 0.3 * z.mean()
    ),
}

SOUND: dict[str, Plan] = {
    "adam 1e-3": Plan(settings=adam(lr=1e-3)),
    "adam 3e-3": Plan(),
    "adam 1e-2": Plan(settings=adam(lr=1e-2)),
    "adamw cosine": Plan(None, torch.optim.AdamW, factor=lambda t: 1 - t / STEPS),
    "sgd 0.05": Plan(None, torch.optim.SGD, {"lr": 0.05, "momentum": 0.9}),
    "sgd 0.1": Plan(None, torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    "rmsprop": Plan(None, torch.optim.RMSprop, {"lr": 1e-3}),
    "nadam accumulated": Plan(
        None, torch.optim.NAdam, {"lr": 2e-3}, 16, loss=lambda z, y: nn.functional.cross_entropy(z, y) / 2, passes=2
    ),
    "thalweg radam": Plan(None, thalweg.optim.RAdam, {"lr": 5e-3}),
    "adam batch 128": Plan(batch=128),
    "adagrad": Plan(None, torch.optim.Adagrad, {"lr": 0.02}),
}


@cache
def data():
    pixels, labels = load_digits(return_X_y=True)
    return torch.as_tensor(pixels / 8 - 1).float(), torch.as_tensor(labels)


def run(plan: Plan, network: Callable[[], nn.Module], seed: int, steps: int = STEPS, watch: bool = True, **more):
    """The findings after 30 % of the steps and at the end, and the model."""
    torch.manual_seed(seed)
    pixels, labels = data()
    pixels = plan.inputs(pixels).to(plan.dtype)
    if plan.noise:
        labels = torch.where(torch.rand(len(labels)) < plan.noise, torch.randint(10, labels.shape), labels)
    order = labels.argsort(stable=True) if plan.order == "sorted" else None
    model = plan.change(network(), seed).to(plan.dtype)
    optimizer = plan.make(plan.members(model, seed), **plan.settings)
    rate, at, early, seen = plan.settings["lr"], 0, [], None
    with ExitStack() as stack:
        if watch:
            seen = stack.enter_context(thalweg.lens(optimizer, model, quiet=True, **more))
        for step in range(steps):
            if plan.factor is not None:
                optimizer.param_groups[0]["lr"] = rate * plan.factor(step)
            for _ in range(plan.passes):
                rows = torch.randint(len(labels), (plan.batch,))
                if order is not None:
                    rows = order[(at + torch.arange(plan.batch)) % len(order)]
                    at += plan.batch
                (plan.scale(step) * plan.loss(model(pixels[rows]), labels[rows])).backward()
            optimizer.step()
            if plan.zero:
                optimizer.zero_grad()
            if watch and step + 1 == round(0.3 * steps):
                early = [finding.name for finding in seen.findings]
        findings = [finding.name for finding in seen.findings] if watch else []
    return early, findings, model, seen
