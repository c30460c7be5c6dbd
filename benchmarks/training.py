"""The step's share of a real training step: a deep, narrow network, where the optimizer's overhead shows.

Torch's threads work in the passes, the optimizer's in the step. Where no core is to spare, the waiting threads
of one take time from the other: an optimizer may be quick in `step()` and slow down what comes after. So the whole
step is timed too, and a loop without any optimizer says what the passes cost alone.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any

import torch
from peers import builders
from torch import nn

from interleave import Pace, Turn, compared, interleave, summary
from thalweg.catalogue import CATALOGUE

LAYERS, WIDTH, BATCH, CLASSES = 40, 64, 32, 10


def network() -> nn.Module:
    """A 40-layer perceptron with LayerNorm."""
    layers: list[nn.Module] = []
    for _ in range(LAYERS):
        layers += [nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(WIDTH, CLASSES))


def training_step(model: nn.Module, build: Callable[[Any], torch.optim.Optimizer] | None) -> Turn:
    """One training step in two parts: the whole, and the call of `step()` in it."""
    optimizer = build(list(model.parameters())) if build else None
    inputs, labels = torch.randn(BATCH, WIDTH), torch.randint(CLASSES, (BATCH,))

    def turn() -> tuple[int, ...]:
        start = time.perf_counter_ns()
        model.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(model(inputs), labels).backward()
        passed = time.perf_counter_ns()
        if optimizer is not None:
            optimizer.step()
        end = time.perf_counter_ns()
        return end - start, end - passed

    return turn


def measure(quick: bool) -> dict[str, Any]:
    """Adam in each implementation, and no optimizer at all, on copies of one network."""
    torch.manual_seed(0)
    model = network()
    builds = {**builders(CATALOGUE["adam"]), "passes alone": None}
    subjects = {name: training_step(copy.deepcopy(model), build) for name, build in builds.items()}
    # Ten steps a turn: a training loop has its own network in the caches, not the other implementations'.
    pace = Pace(seconds=3 if quick else 40, least=5, most=200, timed=10, settling=3)
    rounds = interleave(subjects, pace)
    whole, step = compared(rounds, part=0), compared(rounds, part=1)
    alone = rounds["passes alone"][:, 0]
    return {
        "network": f"{LAYERS} x (Linear({WIDTH}), LayerNorm, ReLU), batch {BATCH}",
        "parameters": sum(p.numel() for p in model.parameters()),
        "tensors": len(list(model.parameters())),
        "rounds": len(alone),
        "subjects": {
            name: {
                "whole_us": whole[name]["us"],
                "whole_times_ours": whole[name]["times_ours"],
                "step_us": step[name]["us"],
                "added_us": summary(rounds[name][:, 0] - alone),
            }
            for name in subjects
        },
    }
