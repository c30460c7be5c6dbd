"""Two checkouts side by side: is the step, and a tuning, as fast as it was?

    python benchmarks/versions.py OLD NEW [--rounds 40]

OLD and NEW are checkouts of this repository. Each has a process of its own that imports its own package; the two take
turns in a random order, case by case. The lab's case starts a fresh process each time, as a user does.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SHAPES = {
    "4 small tensors": [(16, 16), (16,), (4, 16), (4,)],
    "350 small tensors": [(32, 32), (32,)] * 175,
    "25M in 12 tensors": [(1024, 2048)] * 12,
}
CASES = [f"{name}, {shapes}" for name in ("SGD", "Adam", "AdamW", "RAdam", "Adafactor") for shapes in SHAPES]
CASES += [f"Adam with clip_norm, {shapes}" for shapes in SHAPES]
# The same words in both versions, and points that both draw alike.
TUNING = ["tune", "digits", "--optimizers", "adamw", "--method", "random", "--trials", "24", "--on", "lanes"]
TUNING += ["--finalist-seeds", "3"]

SERVE = """
import sys, time, torch
from thalweg import optim
shapes, held = {shapes!r}, {{}}
torch.set_num_threads({threads})
def step(case):
    if case not in held:
        held.clear()
        name, _, kind = case.partition(", ")
        name, _, clipped = name.partition(" with ")
        if not hasattr(optim, name):
            return None
        torch.manual_seed(0)
        parameters = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes[kind]]
        for parameter in parameters:
            parameter.grad = torch.randn_like(parameter)
        settings = dict(lr=1e-3, **(dict(clip_norm=1.0) if clipped else dict()))
        held[case] = getattr(optim, name)(parameters, **settings)
        for _ in range(5):
            held[case].step()
    optimizer = held[case]
    start = time.perf_counter_ns()
    for _ in range(10):
        optimizer.step()
    return (time.perf_counter_ns() - start) / 1e4
for line in sys.stdin:
    print(step(line.strip()), flush=True)
"""


def server(checkout: Path, threads: int) -> subprocess.Popen[str]:
    """A process that imports this checkout's package and times the case that it is told, in microseconds a step."""
    program = SERVE.format(shapes=SHAPES, threads=threads)
    environment = {**os.environ, "PYTHONPATH": str(checkout / "src"), "OMP_NUM_THREADS": str(threads)}
    return subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )


def ask(process: subprocess.Popen[str], case: str) -> float:
    assert process.stdin and process.stdout
    print(case, file=process.stdin, flush=True)
    told = process.stdout.readline().strip()
    return float("nan") if told == "None" else float(told)


def tuning(checkout: Path) -> float:
    """Seconds of a tuning by a fresh process of this checkout."""
    environment = {**os.environ, "PYTHONPATH": str(checkout / "src")}
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        command = "from thalweg.cli import main; import sys; sys.exit(main())"
        subprocess.run(
            [sys.executable, "-c", command, *TUNING, "--out", f"{folder}/study"],
            env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder,
        )  # fmt: skip
        return time.perf_counter() - start


def row(case: str, unit: str, old: list[float], new: list[float]) -> str:
    ratios = np.array(old) / np.array(new)
    low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    typical = [f"{np.median(each):.3g} {unit}" for each in (old, new)]
    return f"| {case} | {typical[0]} | {typical[1]} | {middle:.2f} ({low:.2f} to {high:.2f}) |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    checkouts = {"old": options.old.resolve(), "new": options.new.resolve()}
    print("| case | old | new | old / new: median (quartiles) of pairs taken in turn |\n|---|---|---|---|", flush=True)
    servers = {name: server(checkout, options.threads) for name, checkout in checkouts.items()}
    order, shuffle = list(checkouts), random.Random(0).shuffle
    for case in CASES:
        took: dict[str, list[float]] = {name: [] for name in checkouts}
        for _ in range(options.rounds if "25M" not in case else max(5, options.rounds // 4)):
            shuffle(order)
            for name in order:
                took[name].append(ask(servers[name], case))
        if not np.isnan(took["old"]).all():
            print(row(case, "us", took["old"], took["new"]), flush=True)
    for process in servers.values():
        process.kill()
    took = {name: [] for name in checkouts}
    for _ in range(options.repetitions):
        shuffle(order)
        for name in order:
            took[name].append(tuning(checkouts[name]))
    print(row("`thalweg " + " ".join(TUNING) + "`", "s", took["old"], took["new"]), flush=True)


if __name__ == "__main__":
    main()
