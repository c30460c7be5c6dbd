"""The first step of a process: with no kernel on disk, and with one. As a script, this is that process."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

PARTS = ("import_torch", "import_thalweg", "construct", "first_step", "second_step")


def process() -> dict[str, float]:
    """The seconds of each part, from an interpreter that has imported nothing yet."""
    marks = [time.perf_counter()]
    import torch

    marks.append(time.perf_counter())
    from thalweg import optim

    marks.append(time.perf_counter())
    params = [torch.nn.Parameter(torch.rand(shape)) for shape in ((784, 128), (128,), (128, 10), (10,))]
    for param in params:
        param.grad = torch.rand_like(param)
    ready = time.perf_counter()
    optimizer = optim.Adam(params, lr=1e-3)
    marks.append(marks[-1] + time.perf_counter() - ready)
    for _ in range(2):
        start = time.perf_counter()
        optimizer.step()
        marks.append(marks[-1] + time.perf_counter() - start)
    return {part: after - before for part, before, after in zip(PARTS, marks, marks[1:], strict=False)}


def _run(cache: str) -> dict[str, float]:
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    environment["THALWEG_CACHE"] = cache
    command = [sys.executable, __file__]
    printed = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    result: dict[str, float] = json.loads(printed)
    return result


def measure(quick: bool) -> dict[str, Any]:
    """Medians over the repeats, in seconds, for Adam on 101,770 parameters."""
    repeats = 1 if quick else 3
    seen: dict[str, list[dict[str, float]]] = {"cold": [], "warm": []}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as cache:
            seen["cold"].append(_run(cache))
            seen["warm"].append(_run(cache))
    medians = {
        kind: {part: statistics.median(run[part] for run in runs) for part in PARTS} for kind, runs in seen.items()
    }
    return {"repeats": repeats, **medians}


if __name__ == "__main__":
    print(json.dumps(process()))
