"""Does training end elsewhere with small state? Five optimizers, three networks, five seeds, three kinds of state.

    python benchmarks/quality.py                        about 25 minutes on one core
    python benchmarks/quality.py --quick                two seeds, a tenth of the steps
    python benchmarks/quality.py --networks "digits,deep and narrow"     5 minutes; what else the day's file has stays
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
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

import machine
import thalweg.optim as optim
import written
from networks import NETWORKS, OPTIMIZERS
from thalweg.tensors.quantization import STATE_DTYPES

RESULTS = Path(__file__).parent / "results"
SEEDS, POINTS = 5, 32  # points of a curve, after the one at the start


def train(network: str, name: str, state_dtype: str, seed: int, part: float) -> tuple[float, list[float]]:
    """The loss on what was held back: over the last tenth of the steps, and its curve."""
    torch.manual_seed(seed)
    chosen = NETWORKS[network]
    steps = int(chosen.steps * part)
    model, (x, y), (held_x, held_y), loss_of = chosen.build()
    optimizer = chosen.optimizer(name, model, state_dtype)
    schedule = chosen.schedule(optimizer, steps)

    def held() -> float:
        with torch.no_grad():
            return loss_of(model(held_x), held_y).item()

    draw, curve, ends = torch.Generator().manual_seed(seed), [held()], []
    places = set(drawn(steps))
    for step in range(steps):
        batch = torch.randint(len(x), (chosen.batch,), generator=draw)
        optimizer.zero_grad()
        loss_of(model(x[batch]), y[batch]).backward()
        optimizer.step()
        schedule.step()
        ending = step >= steps - steps // 10 and step % 5 == 0
        if ending or step + 1 in places:
            found = held()
            ends += [found] if ending else []
            curve += [float(f"{found:.5g}")] if step + 1 in places else []
    return statistics.mean(ends), curve


def drawn(steps: int) -> list[int]:
    """After how many steps a curve has its points."""
    return [round(steps * place / POINTS) for place in range(POINTS + 1)]


def runs(seeds: int, part: float, pairs: Sequence[tuple[str, str]]) -> Iterator[dict[str, Any]]:
    """Networks and optimizers, with each kind of state."""
    for network, name in pairs:
        ends: dict[str, list[float]] = {each: [] for each in STATE_DTYPES}
        curves: dict[str, list[list[float]]] = {each: [] for each in STATE_DTYPES}
        for seed in range(seeds):
            for state_dtype in STATE_DTYPES:
                end, curve = train(network, name, state_dtype, seed, part)
                ends[state_dtype].append(end)
                curves[state_dtype].append(curve)
        steps = drawn(int(NETWORKS[network].steps * part))
        rate = NETWORKS[network].rate(name)
        yield {"network": network, "optimizer": name, "lr": rate, "ends": ends, "steps": steps, "curves": curves}


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


SHARES = (1.0, 0.1, 0.01, 0.001)
RARE: dict[str, tuple[Callable[..., torch.optim.Optimizer], float]] = {
    "Adam": (optim.Adam, 1e-3),
    "Adagrad": (optim.Adagrad, 1e-2),
    "Lion": (optim.Lion, 1e-3),
}


def rare(name: str, state_dtype: str) -> list[float]:
    """How far rows of an embedding come that have a gradient in a share of the steps, and zeros in the others. Each
    block has rows of every share."""
    draw = torch.Generator().manual_seed(0)
    share = torch.tensor(SHARES)[torch.arange(4096) % len(SHARES)]
    p = torch.nn.Parameter(torch.zeros(4096, 8))
    cls, lr = RARE[name]
    optimizer = cls([p], lr=lr, state_dtype=state_dtype)
    for _ in range(2000):
        seen = torch.rand(4096, generator=draw) < share
        p.grad = (1 + torch.randn(4096, 8, generator=draw)) * seen[:, None]
        optimizer.step()
    return [p.detach()[place :: len(SHARES)].abs().mean().item() for place in range(len(SHARES))]


def rows() -> Iterator[dict[str, Any]]:
    """Rare rows, as a share of the way with float32 state."""
    for name in RARE:
        full = rare(name, "float32")
        for state_dtype in STATE_DTYPES[1:]:
            way = [a / b for a, b in zip(rare(name, state_dtype), full, strict=True)]
            yield {"optimizer": name, "state": state_dtype, "seen": list(SHARES), "share": way}


# -- tables ----------------------------------------------------------------------------------------------------------


def verdict(row: dict[str, Any]) -> str:
    """Whether both kinds of small state end within one deviation."""
    far = [apart(row, each) for each in STATE_DTYPES[1:]]
    return "met" if max(map(abs, far)) <= 1 else "missed" if max(far) > 1 else "better"


def ends_table(results: dict[str, Any]) -> str:
    """Where runs end."""
    lines = [
        "| network | optimizer | lr | float32 | bfloat16 | int8 | bfloat16 apart | int8 apart | within one |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for row in results["rows"]:
        ends = [row["ends"][each] for each in STATE_DTYPES]
        cells = [f"{row['lr']:g}", *(f"{statistics.mean(each):.4g} ({statistics.stdev(each):.2g})" for each in ends)]
        cells += [f"{apart(row, each):+.2f}" for each in STATE_DTYPES[1:]]
        lines.append(f"| {row['network']} | {row['optimizer']} | {' | '.join(cells)} | {verdict(row)} |")
    return "\n".join(lines)


def spans_table(results: dict[str, Any]) -> str:
    """Gradients of two sizes in a block."""
    lines = ["| eps | ratio | bfloat16 | int8 |", "| ---: | ---: | ---: | ---: |"]
    for row in results["spans"]:
        share = row["share"]
        lines.append(f"| {row['eps']:g} | {row['ratio']:g} | {share['bfloat16']:.3f} | {share['int8']:.3f} |")
    return "\n".join(lines)


def rare_table(results: dict[str, Any]) -> str:
    """Rows that are seldom seen."""
    head = ["optimizer", "state", *(f"{share:.4g}" for share in SHARES)]
    lines = ["| " + " | ".join(head) + " |", "| --- | --- |" + " ---: |" * len(SHARES)]
    for row in results["rare"]:
        shares = " | ".join(f"{share:.3f}" for share in row["share"])
        lines.append(f"| {row['optimizer']} | {row['state']} | {shares} |")
    return "\n".join(lines)


def markdown(results: dict[str, Any]) -> str:
    """The tables."""
    place, versions = results["machine"], results["versions"]
    parts = [
        f"# Small state: where training ends ({results['date']})",
        f"{place['cpu']} ({place['instructions']}), 1 thread; python {versions['python']}, torch {versions['torch']}, "
        f"numba {versions['numba']}.",
        f"Loss on held-back data, mean over {results['seeds']} seeds (deviation between seeds); then how far the mean "
        "is from that of float32 state, in those deviations.",
        ends_table(results),
    ]
    if results["spans"]:
        parts += [
            "Where it ends: Adam on blocks half of whose gradients are `ratio` times the others. How far those come in "
            "500 steps, as a share of the way with float32 state.",
            spans_table(results),
        ]
    if results["rare"]:
        parts += [
            "Rare rows: an embedding whose rows have a gradient in one step of 1, 10, 100 or 1,000 (the share is the "
            "column's head), and zeros in the others. How far those rows come in 2,000 steps, as a share of the way "
            "with float32 state.",
            rare_table(results),
        ]
    return "\n\n".join(parts) + "\n"


# -- the command -----------------------------------------------------------------------------------------------------


def arguments() -> argparse.Namespace:
    """The command line; `pairs` are the networks and optimizers to run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="default %(default)s")
    parser.add_argument("--networks", default=",".join(NETWORKS), help="default %(default)s")
    parser.add_argument("--only", default="", help="one network and optimizer, as in the results")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    chosen = parser.parse_args()
    networks = chosen.networks.split(",")
    for network in networks:
        if network not in NETWORKS:
            parser.error(f"--networks: {network!r} is none of {', '.join(NETWORKS)}")
    pairs = [(network, name) for network in networks for name in OPTIMIZERS]
    chosen.pairs = [pair for pair in pairs if chosen.only in ("", ", ".join(pair))]
    if not chosen.pairs:
        parser.error(f"--only: {chosen.only!r} is none of {', '.join(map(repr, map(', '.join, pairs)))}")
    return chosen


def before(path: Path, results: dict[str, Any], pairs: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """The rows that a file has already and this run does not measure anew; none where they were measured elsewhere."""
    if not path.exists():
        return []
    found = json.loads(path.read_text())
    if any(found.get(name) != results[name] for name in ("seeds", "machine", "versions")):
        return []
    return [row for row in found["rows"] if (row["network"], row["optimizer"]) not in pairs]


def main() -> int:
    """Run, print, and write to results/ after each row: what an interrupted run has measured is kept."""
    chosen = arguments()
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
    results["rare"] = [] if chosen.only else list(rows())
    name = f"quality-{date}{'-quick' if chosen.quick else '' if seeds == SEEDS else f'-{seeds}-seeds'}"
    results["rows"] = before(chosen.out / f"{name}.json", results, chosen.pairs)
    order = [(network, name) for network in NETWORKS for name in OPTIMIZERS]
    for row in runs(seeds, part, chosen.pairs):
        results["rows"].append(row)
        results["rows"].sort(key=lambda each: order.index((each["network"], each["optimizer"])))
        print(f"{time.monotonic() - began:5.0f} s {row['network']}, {row['optimizer']}", file=sys.stderr, flush=True)
        written.write(results, markdown(results), chosen.out, name, indent=None)
    print(markdown(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
