"""What a study was made with, and how many threads its trials use."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch

from thalweg.lab.isolation import preserving_process
from thalweg.lab.random.seeds import seed_everything
from thalweg.lab.task.data import to_device
from thalweg.lab.task.own_loop import OwnLoop
from thalweg.lab.task.task import Task

WORTH_IT = 1.25  # many threads must be this much faster than one: on small networks they only get in the way
HOPELESS = 2.0  # so many times slower in one round, they are not tried again
STEPS, ROUNDS = 8, 3
LOOK = 0.25  # seconds to measure a pace for


def versions() -> dict[str, Any]:
    """The versions and the machine that results depend on."""
    packages = {name: _version(name) for name in ("thalweg", "torch", "numpy", "numba", "scipy", "bokeh")}
    return {
        **packages,
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
    }


def measure_threads(task: Task) -> dict[str, Any]:
    """How many torch threads the task's steps run fastest on: one, or as many as the caller has set."""
    many = torch.get_num_threads()
    if many == 1 or isinstance(task, OwnLoop) or torch.device(task.device).type != "cpu":
        return {"threads": many, "why": "as the caller has set it"}
    timed = {1: float("inf"), many: float("inf")}
    with preserving_process(task.device):
        seed_everything(0, task.device)
        model = task.build(0)
        batches = [to_device(batch, task.device) for batch in islice(task.sources["train"].batches(0), STEPS)]
        for _ in range(ROUNDS):
            for threads in timed:
                with torch_threads(threads):
                    timed[threads] = min(timed[threads], _time(task, model, batches))
            if timed[many] > HOPELESS * timed[1]:  # others are at work: threads that wait for each other take seconds
                break
    chosen = many if timed[many] * WORTH_IT < timed[1] else 1
    steps = ", ".join(f"{1000 * seconds / STEPS:.3f} ms on {threads}" for threads, seconds in timed.items())
    return {"threads": chosen, "why": f"a forward and backward pass takes {steps}"}


def measure_pace(task: Task, seconds: float = LOOK) -> float:
    """Steps a second, forward and backward, on the threads torch has now: the best round of so many seconds."""
    with preserving_process(task.device):
        seed_everything(0, task.device)
        model = task.build(0)
        batches = [to_device(batch, task.device) for batch in islice(task.sources["train"].batches(0), STEPS)]
        _time(task, model, batches)
        best, start = _time(task, model, batches), time.perf_counter()
        while time.perf_counter() - start < seconds:
            best = min(best, _time(task, model, batches))
    return STEPS / best


def cores() -> int:
    """How many processor cores this process may use."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:  # a container's share of the machine
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(allowed, int(quota) // int(period)))
    except (OSError, ValueError):
        return allowed


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Run with this many torch threads; the caller's number comes back."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _time(task: Task, model: torch.nn.Module, batches: list[Any]) -> float:
    start = time.perf_counter()
    for batch in islice(cycle(batches), STEPS):
        task.compute_loss(model, batch).backward()  # type: ignore[no-untyped-call]
    return time.perf_counter() - start


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
