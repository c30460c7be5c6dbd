"""Loss curves side by side: a script with torch's class, and the same script with ours."""

from __future__ import annotations

from typing import Any

import torch

# Every class that torch has too, with settings as scripts use them.
CLASSES: dict[str, dict[str, Any]] = {
    "SGD": {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3},
    "Adam": {"lr": 0.01, "amsgrad": True},
    "AdamW": {"lr": 0.01, "betas": (0.9, 0.95)},
    "NAdam": {"lr": 0.01},
    "RAdam": {"lr": 0.01},
    "RMSprop": {"lr": 0.005, "momentum": 0.5},
    "Adagrad": {"lr": 0.05},
    "Adadelta": {"lr": 1.0},
    "Adamax": {"lr": 0.01},
}
FEW = ("SGD", "AdamW", "RAdam")


def agree(ours: list[float], torchs: list[float], dtype: torch.dtype = torch.float32) -> None:
    """Step by step within rounding: 100 roundings of `dtype` a step, as wide as the engines' own law; and it trained.

    A step that a script leaves out, takes twice or takes with another lr moves the loss by far more than that.
    """
    assert len(ours) == len(torchs) >= 8
    eps = torch.finfo(dtype).eps
    for step, (a, b) in enumerate(zip(ours, torchs, strict=True)):
        allowed = 100 * step * eps * abs(b)
        assert abs(a - b) <= allowed, (
            f"step {step}: {a} against torch's {b}, {abs(a - b):.2g} apart, {allowed:.2g} allowed"
        )
    assert min(torchs[-4:]) < 0.9 * torchs[0], "the script does not train"


def regression(rows: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and targets of a little task that can be learned."""
    inputs = torch.randn(rows, 6, generator=torch.Generator().manual_seed(seed))
    return inputs, torch.sin(inputs).sum(1, keepdim=True)


def network(seed: int = 0) -> torch.nn.Module:
    """The same network whenever it is built; BatchNorm has buffers beside its parameters."""
    torch.manual_seed(seed)
    return torch.nn.Sequential(
        torch.nn.Linear(6, 16), torch.nn.BatchNorm1d(16), torch.nn.Tanh(), torch.nn.Linear(16, 1)
    )
