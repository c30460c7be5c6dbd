"""Rules that work on whole matrices or tensors, beside torch's, pytorch_optimizer's, HeavyBall's and the bare stream.

python benchmarks/matrices.py                   about 8 minutes
python benchmarks/matrices.py --quick           a look, which is not kept as the day's full run

pytorch_optimizer and heavyball are measured where they are installed.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import importlib.util
import re
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from peers import stream

import thalweg.optim as optim
from interleave import Pace, compared, interleave, stopwatch
from machine import describe, load, versions
from written import named, write

LETTERS = 512  # of the small transformer; the large one has GPT-2's
Shape = tuple[int, ...]
Subjects = dict[str, Callable[[], Any]]
INSTALLED = {name for name in ("pytorch_optimizer", "heavyball") if importlib.util.find_spec(name)}


def layers(width: int, number: int) -> list[Shape]:
    return [(3 * width, width), (width, width), (4 * width, width), (width, 4 * width)] * number


def transformer(width: int, number: int, letters: int) -> list[Shape]:
    return [(letters, width), *layers(width, number), *[(width,)] * (4 * number + 1)]


MATRICES: dict[str, list[Shape]] = {
    "48 of 64 x 64": [(64, 64)] * 48,
    "24 of 384 x 384": [(384, 384)] * 24,
    "6 of 384 x 1536": [(384, 1536)] * 6,
    "4 of 768 x 3072": [(768, 3072)] * 4,
    "6 layers of 384": layers(384, 6),
    "12 layers of 768": layers(768, 12),
}
WHOLE = {"11M": transformer(384, 6, LETTERS), "124M": transformer(768, 12, 50257)}


def parameters(shapes: Sequence[Shape]) -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    made = [torch.nn.Parameter(torch.randn(shape, generator=generator) / 50) for shape in shapes]
    for p in made:
        p.grad = torch.randn(p.shape, generator=generator)
    return made


def operations(shapes: Sequence[Shape], steps: int = 5) -> float:
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
            self.words = torch.nn.Embedding(*params[0].shape)
            self.words.weight = params[0]
            self.rest = torch.nn.ParameterList(params[1:])

    return optim.MuonAdamW(Model()).step


def heavyballs(rule: str, shapes: Sequence[Shape]) -> Callable[[], None]:
    """HeavyBall takes a gradient away when it has used it: it gets it back for each step."""
    import heavyball

    params = parameters(shapes)
    gradients = [p.grad for p in params]
    optimizer = getattr(heavyball, rule)(params, lr=1e-3)

    def step() -> None:
        for p, gradient in zip(params, gradients, strict=True):
            p.grad = gradient
        optimizer.step()

    return step


def pytorch_optimizers(rule: str, shapes: Sequence[Shape]) -> Callable[[], Any]:
    import pytorch_optimizer

    cls = getattr(pytorch_optimizer, rule)
    if rule == "Muon":  # it wants to be told what it is for
        return cls([{"params": parameters(shapes), "use_muon": True}], lr=0.02).step
    return cls(parameters(shapes)).step


def ours_and_others(rule: str, shapes: Sequence[Shape], others: Sequence[str], theirs: str = "") -> Subjects:
    """Each library's class of a rule; `theirs` is its name at pytorch_optimizer."""
    makers: dict[str, Callable[[], Callable[[], Any]]] = {
        "torch": lambda: getattr(torch.optim, rule)(parameters(shapes)).step,
        "pytorch_optimizer": lambda: pytorch_optimizers(theirs or rule, shapes),
        "heavyball": lambda: heavyballs(rule, shapes),
    }
    there = [name for name in others if name == "torch" or name in INSTALLED]
    return {"ours": getattr(optim, rule)(parameters(shapes)).step, **{name: makers[name]() for name in there}}


Case = tuple[str, Callable[[], Subjects], list[Shape]]


def cases() -> Iterator[Case]:
    """What is measured: its name, what makes those who take turns, and the matrices that Newton-Schulz multiplies."""
    for name, shapes in MATRICES.items():
        small = name != "12 layers of 768"  # the others take half a minute a step there
        others = ("torch", "pytorch_optimizer", "heavyball") if small else ("torch",)
        yield f"Muon, {name}", partial(ours_and_others, "Muon", shapes, others), shapes
    for size, shapes in WHOLE.items():
        matrices = [shape for shape in shapes[1:] if len(shape) == 2]
        yield f"MuonAdamW against Muon and fused AdamW, {size}", partial(pairs, shapes), matrices
    small_ones: list[Shape] = [(32, 32), (32,)] * 175
    for name, shapes in (("11M", WHOLE["11M"]), ("350 of 32 x 32 and 32", small_ones)):
        yield f"Adafactor, {name}", partial(ours_and_others, "Adafactor", shapes, ["torch"]), []
    for name, shapes in (("12 of 128 x 128", [(128, 128)] * 12), ("6 layers of 384", layers(384, 6))):
        yield f"Shampoo, {name}", partial(ours_and_others, "Shampoo", shapes, ["pytorch_optimizer"]), []
        yield f"SOAP, {name}", partial(ours_and_others, "SOAP", shapes, ["pytorch_optimizer", "heavyball"]), []
    for rule, theirs, states in (("LAMB", "Lamb", 2), ("LARS", "LARS", 1), ("Prodigy", "Prodigy", 4)):
        for size, shapes in WHOLE.items():
            yield f"{rule}, {size}", partial(beside_stream, rule, theirs, states, shapes, size == "11M"), []


def pairs(shapes: Sequence[Shape]) -> Subjects:
    return {"ours": hybrid(parameters(shapes)), "torch": pair_of_torchs(parameters(shapes))}


def beside_stream(rule: str, theirs: str, states: int, shapes: Sequence[Shape], others: bool) -> Subjects:
    subjects = ours_and_others(rule, shapes, ["pytorch_optimizer"] if others else [], theirs)
    return {**subjects, "stream": stream(sum(torch.Size(shape).numel() for shape in shapes), states)}


def measured(subjects: Subjects, quick: bool) -> dict[str, Any]:
    """Medians in turns; the first step, which compiles, is told apart."""
    first = {}
    for name, step in subjects.items():
        start = time.perf_counter()
        step()
        first[name] = time.perf_counter() - start
    turns = {name: stopwatch(step) for name, step in subjects.items()}
    found = compared(interleave(turns, Pace(seconds=2 if quick else 12, least=5, most=200, warm_up=2)))
    return {name: {**row, "first_step_s": first[name]} for name, row in found.items()}


def run(quick: bool, only: str) -> dict[str, Any]:
    results: dict[str, Any] = {
        "machine": describe(),
        "versions": {**versions(), **{name: importlib.metadata.version(name) for name in sorted(INSTALLED)}},
        "date": datetime.date.today().isoformat(),
        "load": load(),
        "product_rate": product_rate(),
        "rows": [],
    }
    for name, make, matrices in cases():
        if not re.search(only, name):
            continue
        row: dict[str, Any] = {"what": name, "subjects": measured(make(), quick)}
        if matrices:
            row["products_us"] = operations(matrices) / results["product_rate"] * 1e6
        results["rows"].append(row)
        print(name, {who: round(found["us"]["median"] / 1e3, 2) for who, found in row["subjects"].items()}, flush=True)
    return results


def table(results: dict[str, Any]) -> str:
    others = ", ".join(f"{name} {results['versions'][name]}" for name in ("torch", *sorted(INSTALLED)))
    lines = [
        f"# Matrices, {results['date']}",
        "",
        f"{results['machine']['cpu']}, {results['machine']['threads']} threads, {others}. Medians of interleaved "
        f"steps; a product of bfloat16 matrices reaches {results['product_rate'] / 1e9:.0f} GFLOP/s here, and "
        "`products` is what the Newton-Schulz products alone take at that rate, written plainly. `stream` is one pass "
        "over the bytes of a step, on as many threads. HeavyBall's steps are compiled by torch.compile. Load average "
        f"before: {results['load'][0]:.1f} on {results['machine']['cores']} cores.",
        "",
        "| what | beside | ours, ms | theirs, ms | times ours | their first step, s | products, ms |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in results["rows"]:
        least = f"{row['products_us'] / 1e3:.1f}" if "products_us" in row else "-"
        ours = row["subjects"]["ours"]["us"]["median"] / 1e3
        for name, other in row["subjects"].items():
            if name == "ours":
                continue
            low, high = other["times_ours"]["quartiles"]
            ratio = f"{other['times_ours']['median']:.2f} ({low:.2f} to {high:.2f})"
            first = "-" if name == "stream" else f"{other['first_step_s']:.1f}"
            theirs = f"{other['us']['median'] / 1e3:.2f}"
            lines.append(f"| {row['what']} | {name} | {ours:.2f} | {theirs} | {ratio} | {first} | {least} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="", help="a regular expression: of the cases those that it is found in")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    found = run(options.quick, options.only)
    kind = "-quick" if options.quick else "-part" if options.only else ""
    write(found, table(found), options.out, named("matrices", found, kind))
    print(table(found))
