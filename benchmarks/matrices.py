"""Muon, MuonAdamW and Adafactor beside torch's, Shampoo and SOAP beside pytorch_optimizer's, on transformers' matrices.

python benchmarks/matrices.py                   about 3 minutes
python benchmarks/matrices.py --quick           a look, which is not kept as the day's full run
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

import thalweg.optim as optim
from interleave import Pace, compared, interleave, stopwatch
from machine import describe, load, versions
from written import named, write

WIDTH, LAYERS, LETTERS = 384, 6, 512  # of a transformer of 11 million numbers
SHAPES: dict[str, list[tuple[int, int]]] = {
    "48 of 64 x 64": [(64, 64)] * 48,
    "24 of 384 x 384": [(384, 384)] * 24,
    "6 of 384 x 1536": [(384, 1536)] * 6,
    "4 of 768 x 3072": [(768, 3072)] * 4,
}


def parameters(shapes: Sequence[tuple[int, ...]]) -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    made = [torch.nn.Parameter(torch.randn(shape, generator=generator) / 50) for shape in shapes]
    for p in made:
        p.grad = torch.randn(p.shape, generator=generator)
    return made


def operations(shapes: Sequence[tuple[int, int]], steps: int = 5) -> float:
    """Of Newton-Schulz, written plainly: X X^T, its square, and the product with X."""
    total = 0.0
    for rows, columns in shapes:
        short, long = sorted((rows, columns))
        total += steps * (4 * short**2 * long + 2 * short**3)
    return total


def product_rate() -> float:
    """What a product of two bfloat16 matrices reaches here, in operations a second: the physical limit."""
    x = torch.randn(1024, 1024).bfloat16()
    times = interleave({"ours": stopwatch(lambda: x @ x)}, Pace(seconds=1, least=10, most=100))["ours"]
    return 2 * 1024**3 / float(times.min()) * 1e6


def transformer() -> list[tuple[int, ...]]:
    layer = [(3 * WIDTH, WIDTH), (WIDTH, WIDTH), (4 * WIDTH, WIDTH), (WIDTH, 4 * WIDTH), *[(WIDTH,)] * 4]
    return [(LETTERS, WIDTH), *layer * LAYERS, (WIDTH,)]


def pair_of_torchs(params: Sequence[torch.nn.Parameter]) -> Callable[[], None]:
    matrices = [p for p in params[1:] if p.dim() == 2]
    rest = [params[0], *(p for p in params if p.dim() == 1)]
    both = torch.optim.Muon(matrices, lr=0.02), torch.optim.AdamW(rest, fused=True)

    def step() -> None:
        for each in both:
            each.step()

    return step


def hybrid(params: Sequence[torch.nn.Parameter]) -> Callable[[], Any]:
    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = torch.nn.Embedding(LETTERS, WIDTH)
            self.words.weight = params[0]
            self.rest = torch.nn.ParameterList(params[1:])

    return optim.MuonAdamW(Model()).step


def measured(subjects: dict[str, Callable[[], Any]], pace: Pace) -> dict[str, Any]:
    return compared(interleave({name: stopwatch(step) for name, step in subjects.items()}, pace))


def run(quick: bool) -> dict[str, Any]:
    pace = Pace(seconds=2 if quick else 15, least=5, most=200, warm_up=2)
    results: dict[str, Any] = {
        "machine": describe(),
        "versions": versions(),
        "date": datetime.date.today().isoformat(),
        "load": load(),
        "rows": [],
    }
    rate = product_rate()
    results["product_rate"] = rate
    for name, shapes in SHAPES.items():
        subjects = {
            "ours": optim.Muon(parameters(shapes), lr=0.02).step,
            "torch": torch.optim.Muon(parameters(shapes), lr=0.02).step,
        }
        found = measured(subjects, pace)
        least = operations(shapes) / rate * 1e6
        results["rows"].append({"what": f"Muon, {name}", "subjects": found, "products_us": least})
    shapes = transformer()
    found = measured({"ours": hybrid(parameters(shapes)), "torch": pair_of_torchs(parameters(shapes))}, pace)
    results["rows"].append({"what": "MuonAdamW against Muon and fused AdamW, 11M", "subjects": found})
    sides = {"ours": optim.Adafactor, "torch": torch.optim.Adafactor}
    found = measured({name: cls(parameters(shapes)).step for name, cls in sides.items()}, pace)
    results["rows"].append({"what": "Adafactor, 11M", "subjects": found})
    if importlib.util.find_spec("pytorch_optimizer"):
        import pytorch_optimizer as theirs

        for rule in ("Shampoo", "SOAP"):
            sides = {"ours": getattr(optim, rule), "pytorch_optimizer": getattr(theirs, rule)}
            subjects = {name: cls(parameters([(128, 128)] * 12)).step for name, cls in sides.items()}
            results["rows"].append({"what": f"{rule}, 12 of 128 x 128", "subjects": measured(subjects, pace)})
    return results


def table(results: dict[str, Any]) -> str:
    lines = [
        f"# Matrices, {results['date']}",
        "",
        f"{results['machine']['cpu']}, {results['machine']['threads']} threads, torch {results['versions']['torch']}. "
        f"Medians of interleaved steps; a product of bfloat16 matrices reaches {results['product_rate'] / 1e9:.0f} "
        "GFLOP/s here, and `products` is what the Newton-Schulz products alone take at that rate. Load average before: "
        f"{results['load'][0]:.1f} on {results['machine']['cores']} cores.",
        "",
        "| what | ours, ms | the other, ms | times ours | products, ms |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for row in results["rows"]:
        (other,) = [name for name in row["subjects"] if name != "ours"]
        ours, theirs = row["subjects"]["ours"]["us"]["median"], row["subjects"][other]["us"]["median"]
        low, high = row["subjects"][other]["times_ours"]["quartiles"]
        ratio = f"{row['subjects'][other]['times_ours']['median']:.2f} ({low:.2f} to {high:.2f})"
        least = f"{row['products_us'] / 1e3:.1f}" if "products_us" in row else "-"
        lines.append(f"| {row['what']} ({other}) | {ours / 1e3:.2f} | {theirs / 1e3:.2f} | {ratio} | {least} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    found = run(options.quick)
    write(found, table(found), options.out, named("matrices", found, "-quick" if options.quick else ""))
    print(table(found))
