"""Does training end elsewhere with small state? Five optimizers, two networks, five seeds, three kinds of state.

    python benchmarks/quality.py            about 5 minutes on one core
    python benchmarks/quality.py --quick    two seeds, a tenth of the steps
    python benchmarks/quality.py --seeds 20 --only "deep and narrow, Adam"

README.md in this folder says what is compared.
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

import machine
import thalweg.optim as optim
from thalweg.codes import STATE_DTYPES
from thalweg.lab.studies.study import write_atomically

RESULTS = Path(__file__).parent / "results"
OPTIMIZERS: dict[str, tuple[Callable[..., torch.optim.Optimizer], dict[str, Any]]] = {
    "Adam": (optim.Adam, {"lr": 2e-3}),
    "AdamW": (optim.AdamW, {"lr": 2e-3, "weight_decay": 0.05}),
    "RAdam": (optim.RAdam, {"lr": 2e-3}),
    "SGD, momentum 0.9": (optim.SGD, {"lr": 2e-2, "momentum": 0.9}),
    "Lion": (optim.Lion, {"lr": 3e-4}),
}
Batch = tuple[torch.Tensor, torch.Tensor]


def digits() -> tuple[torch.nn.Module, Batch, Batch, Callable[..., torch.Tensor]]:
    """A perceptron on scikit-learn's digits, a third of which is kept for the measure."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(pixels, dtype=torch.float32) / 16, torch.tensor(labels)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    train, held = order[600:], order[:600]
    model = torch.nn.Sequential(
        torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10)
    )
    return model, (x[train], y[train]), (x[held], y[held]), torch.nn.functional.cross_entropy


def narrow() -> tuple[torch.nn.Module, Batch, Batch, Callable[..., torch.Tensor]]:
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


NETWORKS = {"digits": (digits, 800), "deep and narrow": (narrow, 1000)}


def train(network: str, name: str, state_dtype: str, seed: int, steps: int) -> tuple[float, list[float]]:
    """The loss on what was held back at the end, averaged over the last tenth; and the curve of the training loss."""
    torch.manual_seed(seed)
    model, (x, y), (held_x, held_y), loss_of = NETWORKS[network][0]()
    cls, settings = OPTIMIZERS[name]
    optimizer = cls(model.parameters(), state_dtype=state_dtype, **settings)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    draw, curve, ends = torch.Generator().manual_seed(seed), [], []
    for step in range(steps):
        batch = torch.randint(len(x), (64,), generator=draw)
        optimizer.zero_grad()
        loss = loss_of(model(x[batch]), y[batch])
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % (steps // 20) == 0:
            curve.append(loss.item())
        if step >= steps - steps // 10 and step % 5 == 0:
            with torch.no_grad():
                ends.append(loss_of(model(held_x), held_y).item())
    return statistics.mean(ends), curve


def runs(seeds: int, part: float, only: str = "") -> Iterator[dict[str, Any]]:
    """Every network, optimizer and state."""
    for network, (_, steps) in NETWORKS.items():
        for name in OPTIMIZERS:
            if only not in ("", f"{network}, {name}"):
                continue
            found: dict[str, list[float]] = {each: [] for each in STATE_DTYPES}
            curves: dict[str, list[float]] = {}
            for seed in range(seeds):
                for state_dtype in STATE_DTYPES:
                    end, curve = train(network, name, state_dtype, seed, int(steps * part))
                    found[state_dtype].append(end)
                    curves.setdefault(state_dtype, curve)
            yield {"network": network, "optimizer": name, "ends": found, "curves_of_seed_0": curves}


def apart(row: dict[str, Any], state_dtype: str) -> float:
    """How far the mean over the seeds is from that of float32 state, in deviations of the latter between seeds."""
    full, small = row["ends"]["float32"], row["ends"][state_dtype]
    return (statistics.mean(small) - statistics.mean(full)) / statistics.stdev(full)


# -- where it breaks -------------------------------------------------------------------------------------------------


def distance(state_dtype: str, ratio: float, eps: float) -> float:
    """How far Adam brings the elements whose gradients are `ratio` times those of the others in their block."""
    draw = torch.Generator().manual_seed(0)
    size = torch.ones(8192)
    size[::2] = ratio
    p = torch.nn.Parameter(torch.zeros(8192))
    optimizer = optim.Adam([p], lr=1e-3, eps=eps, state_dtype=state_dtype)
    for _ in range(500):
        p.grad = size * (1 + torch.randn(8192, generator=draw))
        optimizer.step()
    return p.detach()[::2].abs().mean().item()


def spans() -> Iterator[dict[str, Any]]:
    """Gradients of two sizes in every block."""
    for eps in (1e-8, 1e-30):
        for ratio in (1.0, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-8):
            full = distance("float32", ratio, eps)
            share = {each: distance(each, ratio, eps) / full for each in STATE_DTYPES[1:]}
            yield {"eps": eps, "ratio": ratio, "share": share}


def markdown(results: dict[str, Any]) -> str:
    """The tables."""
    lines = [
        f"# Small state: where training ends ({results['date']})",
        "",
        f"Loss on held-back data, mean over {results['seeds']} seeds (deviation between seeds); then how far the mean "
        "is from that of float32 state, in those deviations.",
        "",
        "| network | optimizer | float32 | bfloat16 | int8 | bfloat16 apart | int8 apart | within one |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for row in results["rows"]:
        ends = [row["ends"][each] for each in STATE_DTYPES]
        cells = [f"{statistics.mean(each):.4g} ({statistics.stdev(each):.2g})" for each in ends]
        far = [apart(row, each) for each in STATE_DTYPES[1:]]
        met = "met" if max(map(abs, far)) <= 1 else "missed" if max(far) > 1 else "better"
        cells += [f"{each:+.2f}" for each in far]
        lines.append(f"| {row['network']} | {row['optimizer']} | {' | '.join(cells)} | {met} |")
    if not results["spans"]:
        return "\n".join([*lines, ""])
    lines += [
        "",
        "Where it ends: Adam on blocks half of whose gradients are `ratio` times the others. How far those elements "
        "come in 500 steps, as a share of the way with float32 state.",
        "",
        "| eps | ratio | bfloat16 | int8 |",
        "| ---: | ---: | ---: | ---: |",
    ]
    for row in results["spans"]:
        lines.append(
            f"| {row['eps']:g} | {row['ratio']:g} | {row['share']['bfloat16']:.3f} | {row['share']['int8']:.3f} |"
        )
    return "\n".join([*lines, ""])


def main() -> int:
    """Run, print, and write to results/."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", default="", help="one network and optimizer, as in the results")
    parser.add_argument("--out", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    began, date = time.monotonic(), datetime.date.today().isoformat()
    seeds, part = (2, 0.1) if chosen.quick else (chosen.seeds, 1.0)
    results: dict[str, Any] = {
        "date": date,
        "seeds": seeds,
        "machine": machine.describe(),
        "versions": machine.versions(),
    }
    torch.set_num_threads(1)  # after Numba's threads were counted, which sets torch's
    results["spans"] = [] if chosen.only else list(spans())
    results["rows"] = []
    for row in runs(seeds, part, chosen.only):
        results["rows"].append(row)
        print(f"{time.monotonic() - began:5.0f} s {row['network']}, {row['optimizer']}", file=sys.stderr, flush=True)
    chosen.out.mkdir(parents=True, exist_ok=True)
    stem = chosen.out / f"quality-{date}{'-quick' if chosen.quick else ''}{f'-{seeds}-seeds' if chosen.only else ''}"
    write_atomically(stem.with_suffix(".json"), lambda: json.dumps(results, indent=1) + "\n")
    write_atomically(stem.with_suffix(".md"), lambda: markdown(results))
    print(markdown(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
