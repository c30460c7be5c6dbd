"""Adam with small state against torch's fused float32 Adam, and the 8-bit Adams of torchao and bitsandbytes.

Each moves fewer bytes than float32: the question is whether the work on codes takes longer than the bytes saved.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from peers import LR, SHAPES, Start

import thalweg.optim as optim
from interleave import Pace, Rounds, compared, interleave, stopwatch

SIZES: dict[str, Sequence[tuple[int, ...]]] = {
    "30M": [(5000, 6000)],
    "124M": SHAPES["large"],
}
FOREIGN = {"torchao": ("torchao.optim", "Adam8bit"), "bitsandbytes": ("bitsandbytes.optim", "Adam8bit")}
SLOW = Pace(seconds=1, least=3, most=3, warm_up=1)  # those that take seconds a step


def _foreign(module: str, name: str) -> Callable[[Any], torch.optim.Optimizer]:
    cls = getattr(importlib.import_module(module), name)
    return lambda params: cls(params, lr=LR)


def _optimizers(states: Sequence[str]) -> dict[str, Callable[[Any], torch.optim.Optimizer]]:
    found: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
        state: partial(optim.Adam, lr=LR, state_dtype=state) for state in states
    }
    return {"fused": partial(torch.optim.Adam, lr=LR, fused=True), "float32": partial(optim.Adam, lr=LR), **found}


def _measure(start: Start, builds: dict[str, Callable[[Any], Any]], pace: Pace) -> dict[str, Rounds]:
    optimizers = {}
    for name, build in builds.items():
        params = [torch.nn.Parameter(value.clone()) for value in start.values]
        for p, g in zip(params, start.gradients, strict=True):
            p.grad = g  # read by all, written by none
        optimizers[name] = build(params)
    return interleave({name: stopwatch(optimizer.step) for name, optimizer in optimizers.items()}, pace)


def measure(size: str, states: Sequence[str], quick: bool) -> dict[str, Any]:
    """One size: ours and torch's in turn, then the slow ones, each beside ours. The first of the states is `ours`."""
    start = Start(SIZES[size])
    pace = Pace(seconds=3 if quick else 12, least=5 if quick else 9, most=60, warm_up=2)
    rounds = _measure(start, _optimizers(states), pace)
    rounds["ours"] = rounds.pop(states[0])
    subjects = compared(rounds)
    subjects[states[0]] = subjects.pop("ours")
    row: dict[str, Any] = {"size": size, "parameters": start.numel, "state": states[0], "subjects": subjects}
    row["rounds"] = len(rounds["fused"])
    row["least_us"] = {name: float(times.min()) for name, times in rounds.items() if name != "ours"}
    row["least_us"][states[0]] = float(rounds["ours"].min())
    row["slow"] = {}
    for name, (module, cls) in FOREIGN.items():
        if importlib.util.find_spec(module.split(".")[0]) is None:
            continue
        builds = {"ours": partial(optim.Adam, lr=LR, state_dtype=states[0]), name: _foreign(module, cls)}
        row["slow"][name] = compared(_measure(start, builds, SLOW))[name]
    return row
