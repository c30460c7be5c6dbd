"""What watching costs: a training step of the 40-layer perceptron, and `step()` at 124M parameters, in turns with none.

    python benchmarks/lens_cost.py --out benchmarks/results/lens-cost.md

A turn is 16 steps after the first 64, of which one is watched. Ratios are of turns beside each other. Networks are made
anew on the way, with the watched one first in every other pair: where tensors happen to lie moves a step by 5 %.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import thalweg
from interleave import Pace, Rounds, Turn, interleave
from training import BATCH, CLASSES, WIDTH, network

ROOT = Path(__file__).parent.parent
IN_A_TURN = 16
LARGE = [(50257, 768), (1024, 768), *[(768, 3072), (3072, 768), (768, 2304), (768, 768)] * 12]  # GPT-2's: 124M


def turn(step: Callable[[], Any], watched: Any = None) -> Turn:
    """Sixteen steps, with the hooks on or off. The first 64 steps of a run are behind it."""
    if watched is not None:
        watched.__enter__()
        watched.record.steps = 64

    def run() -> tuple[int, ...]:
        start = time.perf_counter_ns()
        for _ in range(IN_A_TURN):
            step()
        return ((time.perf_counter_ns() - start) // IN_A_TURN,)

    return run


def training(make: Callable[..., torch.optim.Optimizer], watch: bool) -> Turn:
    torch.manual_seed(0)
    model = network()
    optimizer = make(model.parameters(), lr=1e-3)
    inputs, labels = torch.randn(BATCH, WIDTH), torch.randint(CLASSES, (BATCH,))

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()

    return turn(step, thalweg.lens(optimizer, model, quiet=True) if watch else None)


def stepping(make: Callable[..., torch.optim.Optimizer], model: nn.Module, watch: bool) -> Turn:
    optimizer = make(model.parameters(), lr=1e-6)
    return turn(optimizer.step, thalweg.lens(optimizer, model, quiet=True) if watch else None)


def turns(make: Callable[[bool], Turn], pairs: int, rounds: int) -> list[dict[str, Rounds]]:
    """Plain and watched in turns: `rounds` of each pair."""
    pace = Pace(seconds=1e9, least=1, most=rounds, warm_up=2)
    found = []
    for pair in range(pairs):
        order = [pair % 2 == 1, pair % 2 == 0]
        made = {("plain", "watched")[watch]: make(watch) for watch in order}
        found.append(interleave(made, pace))
    return found


def ratio(pairs: list[dict[str, Rounds]]) -> str:
    plain, watched = (np.concatenate([pair[name][:, 0] for pair in pairs]) for name in ("plain", "watched"))
    low, middle, high = np.percentile(watched / plain - 1, (25, 50, 75))
    told = f"{middle:+.1%} ({low:+.1%} to {high:+.1%})"
    return f"{np.median(plain) / 1e3:.3g} ms | {told} | {len(pairs)} x {len(plain) // len(pairs)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "lens-cost.md")
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--large-rounds", type=int, default=6)
    chosen = parser.parse_args()
    makers = {"torch.optim.Adam": torch.optim.Adam, "thalweg.optim.Adam": thalweg.optim.Adam}
    rows = []
    for name, make in makers.items():
        found = turns(partial(training, make), chosen.pairs, chosen.rounds)
        rows.append(f"| a training step of the 40-layer perceptron | {name} | {ratio(found)} |")
    if chosen.large_rounds:
        model = nn.ParameterList(nn.Parameter(torch.randn(shape)) for shape in LARGE)
        for p in model.parameters():
            p.grad = torch.randn_like(p)
        found = turns(partial(stepping, thalweg.optim.Adam, model), 2, chosen.large_rounds)
        size = sum(p.numel() for p in model.parameters())
        rows.append(f"| `step()` at {size / 1e6:.0f}M parameters | thalweg.optim.Adam | {ratio(found)} |")
    text = [
        "# Lens: what watching costs",
        "",
        f"`python benchmarks/lens_cost.py`, torch {torch.__version__}, {torch.get_num_threads()} threads, every 16th "
        "step watched, plain and watched in turns; median of the turns' ratios, and their quartiles.",
        "",
        "| what | optimizer | without | added by lens | pairs x turns |",
        "| --- | --- | ---: | ---: | ---: |",
        *rows,
    ]
    chosen.out.write_text("\n".join(text) + "\n")
    print("\n".join(text))


if __name__ == "__main__":
    main()
