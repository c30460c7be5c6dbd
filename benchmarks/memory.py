"""Peak memory of training 124 million parameters: torch's Adam, and ours with each kind of state.

    python benchmarks/memory.py             about 4 minutes, 4 GB of memory
    python benchmarks/memory.py --cases "thalweg, int8;torch, fused"

Each case is a process of its own, one after the other: GPT-2 small's shapes, forward, backward and step on 64 tokens.
README.md in this folder says what is counted.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

import machine
import thalweg.optim as optim
import written
from report import table

RESULTS = Path(__file__).parent / "results"
WORDS, PLACES, WIDTH, HEADS, BLOCKS = 50257, 1024, 768, 12, 12
TOKENS, STEPS, LR = 64, 6, 1e-4
Params = list[torch.nn.Parameter]


class Block(torch.nn.Module):
    """Attention and two layers, of the shapes that GPT-2 small has."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        sizes = ((WIDTH, 3 * WIDTH), (WIDTH, WIDTH), (WIDTH, 4 * WIDTH), (4 * WIDTH, WIDTH))
        self.look, self.mix, self.widen, self.back = (torch.nn.Linear(*size, dtype=dtype) for size in sizes)
        self.before, self.between = (torch.nn.LayerNorm(WIDTH, dtype=dtype) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = self.look(self.before(x)).chunk(3, -1)
        seen = functional.scaled_dot_product_attention(
            *(part.unflatten(-1, (HEADS, -1)).transpose(-3, -2) for part in parts), is_causal=True
        )
        x = x + self.mix(seen.transpose(-3, -2).flatten(-2))
        return x + self.back(functional.gelu(self.widen(self.between(x))))


class Model(torch.nn.Module):
    """124,439,808 parameters: the words' table is also the last layer."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.words = torch.nn.Embedding(WORDS, WIDTH, dtype=dtype)
        self.places = torch.nn.Embedding(PLACES, WIDTH, dtype=dtype)
        self.blocks = torch.nn.Sequential(*[Block(dtype) for _ in range(BLOCKS)])
        self.last = torch.nn.LayerNorm(WIDTH, dtype=dtype)
        for each in (self.words, self.places):
            torch.nn.init.normal_(each.weight, std=0.02)

    def forward(self, text: torch.Tensor) -> torch.Tensor:
        x = self.words(text) + self.places.weight[: text.shape[-1]]
        return functional.linear(self.last(self.blocks(x)), self.words.weight)


@dataclass(frozen=True)
class Case:
    """One optimizer. `release`: it steps in the backward pass, and gradients are freed there."""

    build: Callable[[Params], torch.optim.Optimizer]
    dtype: torch.dtype = torch.float32
    release: bool = False


def _cases() -> dict[str, Case]:
    found = {
        "torch, default": Case(lambda params: torch.optim.Adam(params, lr=LR)),
        "torch, foreach": Case(lambda params: torch.optim.Adam(params, lr=LR, foreach=True)),
        "torch, fused": Case(lambda params: torch.optim.Adam(params, lr=LR, fused=True)),
    }
    for release in (False, True):
        more = ", released" if release else ""
        for state in ("float32", "bfloat16", "int8"):
            found[f"thalweg, {state}{more}"] = Case(
                lambda params, state=state: optim.Adam(params, lr=LR, state_dtype=state),  # type: ignore[misc]
                release=release,
            )
        found[f"thalweg, int8, bfloat16 parameters{more}"] = Case(
            lambda params: optim.Adam(params, lr=LR, state_dtype="int8", rounding="stochastic"), torch.bfloat16, release
        )
    return found


CASES = _cases()

# -- in a process of its own -----------------------------------------------------------------------------------------


def resident() -> int:
    """Bytes of this process in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def peak() -> int:
    """The most bytes of this process that were ever in memory at once."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def size(tensors: Any) -> int:
    """Bytes of tensors."""
    return sum(each.numel() * each.element_size() for each in tensors if isinstance(each, torch.Tensor))


def warm(case: Case) -> None:
    """A step of a small layer, so that kernels, threads and libraries are no part of what is measured."""
    layer = torch.nn.Linear(128, 128, dtype=case.dtype)
    optimizer = case.build(list(layer.parameters()))
    layer(torch.ones(4, 128, dtype=case.dtype)).sum().backward()
    optimizer.step()


def train(case: Case) -> dict[str, int]:
    """Bytes: the peak above that after the imports, and what the tensors themselves hold."""
    warm(case)
    start, alive, first = resident(), 0, 0
    torch.manual_seed(0)
    model = Model(case.dtype)
    params = list(model.parameters())

    def count(_: torch.Tensor) -> None:
        nonlocal alive
        alive = max(alive, size(p.grad for p in params))

    for p in params:
        p.register_post_accumulate_grad_hook(count)
    optimizer = case.build(params)
    if case.release:
        optim.release_gradients(model, optimizer)  # type: ignore[arg-type]
    text = torch.randint(WORDS, (1, TOKENS + 1))
    for step in range(STEPS):
        optimizer.zero_grad()
        output = model(text[:, :-1])
        functional.cross_entropy(output.flatten(0, 1), text[:, 1:].flatten()).backward()
        del output
        optimizer.step()
        first = peak() - start if step == 0 else first
    assert all(p.isfinite().all() for p in params)
    states = size(value for state in optimizer.state.values() for value in state.values())
    return {
        "peak": peak() - start,
        "peak_first_step": first,
        "start": start,
        "parameters": size(params),
        "gradients": alive,
        "state": states,
        "count": sum(p.numel() for p in params),
    }


# -- all of them -----------------------------------------------------------------------------------------------------


# What is as large as this goes back to the system as soon as it is free. Without the setting glibc raises the limit by
# itself, up to 32 MB, and keeps what is smaller in a heap with holes.
GIVEN_BACK = {"MALLOC_MMAP_THRESHOLD_": str(1 << 20)}


def measure(name: str, rounds: int) -> dict[str, Any]:
    """A case, in as many processes, and as many whose allocator gives back at once; of the peaks the largest."""
    found: dict[str, list[dict[str, int]]] = {"peaks": [], "peaks_given_back": []}
    for _ in range(rounds):
        for key, more in (("peaks", {}), ("peaks_given_back", GIVEN_BACK)):
            command = [sys.executable, str(Path(__file__)), "--child", name]
            done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **more})
            if done.returncode:
                raise RuntimeError(f"{name}: {done.stderr.strip().splitlines()[-1:]}")
            found[key].append(json.loads(done.stdout))
    row: dict[str, Any] = {"case": name, **found["peaks"][0]}
    for key, each in found.items():
        row[key] = [one["peak"] for one in each]
    return {**row, "peak": max(row["peaks"]), "peak_given_back": max(row["peaks_given_back"])}


def peaks_table(results: dict[str, Any]) -> str:
    """Megabytes of each case."""
    rows = {row["case"]: row for row in results["rows"]}
    head = ("Adam", "parameters", "gradients", "state", "together", "peak", "peak, given back", "/ torch, fused")
    lines = []
    for name, row in rows.items():
        parts = [row[key] for key in ("parameters", "gradients", "state")]
        numbers = (*parts, sum(parts), row["peak"], row["peak_given_back"])
        whole = rows.get("torch, fused")
        ratio = f"{row['peak_given_back'] / whole['peak_given_back']:.2f}" if whole else "-"
        lines.append((name, *(f"{each / 1e6:,.0f}" for each in numbers), ratio))
    return table(head, lines)


def markdown(results: dict[str, Any]) -> str:
    """What was measured, and where."""
    place, versions = results["machine"], results["versions"]
    threads = "1 thread" if place["threads"] == 1 else f"{place['threads']} threads"
    more = f", the largest of {results['rounds']}" if results["rounds"] > 1 else ""
    return (
        f"# Peak memory of training ({results['date']})\n\n"
        f"{place['cpu']} ({place['instructions']}), {threads}, {place['memory_gb']} GB memory; "
        f"{place['system']}; python {versions['python']}, torch {versions['torch']}, numba {versions['numba']}.\n\n"
        f"{results['rows'][0]['count']:,} parameters, {TOKENS} tokens, {STEPS} steps; MB (10^6 bytes), each case in "
        f"processes of its own{more}. Gradients: the most alive at once. Peak: the most "
        "that the process had at once, less what it had after the imports. Given back: the same with "
        f"`{next(iter(GIVEN_BACK))}`, by which freed memory of 1 MB or more goes back to the system at once; the ratio "
        f"is of these.\n\n{peaks_table(results)}\n"
    )


def main() -> int:
    """Run, print, and write to results/ after each case."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", default=";".join(CASES), help="default %(default)s")
    parser.add_argument("--rounds", type=int, default=1, help="default %(default)s")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        print(json.dumps(train(CASES[chosen.child])))
        return 0
    date = datetime.date.today().isoformat()
    results: dict[str, Any] = {
        "date": date,
        "rounds": chosen.rounds,
        "machine": machine.describe(),
        "versions": machine.versions(),
        "rows": [],
    }
    for name in chosen.cases.split(";"):
        if name not in CASES:
            parser.error(f"--cases: {name!r} is none of {'; '.join(CASES)}")
        results["rows"].append(measure(name, chosen.rounds))
        print(f"{name}: {results['rows'][-1]}", file=sys.stderr, flush=True)
        written.write(results, markdown(results), chosen.out, f"memory-{date}")
    print(markdown(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
