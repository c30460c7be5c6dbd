"""Runs of torch.optim.Adam on the digits, sound ones and ones with a planted fault, saved as anybody saves them."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import nn

FAULTS = {"dead": "dead_units", "eps": "eps_too_large", "bf16": "lost_to_rounding", "scaled": "loss_scaled_down"}


def train(fault: str | None = None, seed: int = 0, steps: int = 300, make=torch.optim.Adam, **settings):
    """The model and the optimizer after so many steps of 64 rows."""
    torch.manual_seed(seed)
    pixels, labels = map(torch.as_tensor, load_digits(return_X_y=True))
    pixels = (pixels / 8 - 1).float()
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    settings = {"lr": 1e-4 if fault == "bf16" else 1e-3} | settings
    if fault == "dead":
        with torch.no_grad():
            model[0].bias[:24] = -60.0
    if fault == "eps":
        settings["eps"] = 1.0
    if fault == "bf16":
        model, pixels = model.bfloat16(), pixels.bfloat16()
    optimizer = make(model.parameters(), **settings)
    for _ in range(steps):
        rows = torch.randint(len(pixels), (64,))
        loss = nn.functional.cross_entropy(model(pixels[rows]), labels[rows])
        optimizer.zero_grad()
        (loss / (64_000 if fault == "scaled" else 1)).backward()
        optimizer.step()
    return model, optimizer
