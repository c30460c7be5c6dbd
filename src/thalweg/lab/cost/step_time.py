"""What a training step of each optimizer takes, measured alone: lanes and neighbors would blur it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import islice
from statistics import median
from typing import TYPE_CHECKING, Any

import torch

from thalweg.lab.isolation import preserving_process
from thalweg.lab.random.keyed import Keyed
from thalweg.lab.random.seeds import derive, seed_everything
from thalweg.lab.random.streams import Stream
from thalweg.lab.task.data import to_device
from thalweg.lab.task.own_loop import OwnLoop
from thalweg.lab.task.task import Task
from thalweg.lab.training.loop import step
from thalweg.lab.training.time_limit import TimedOut, time_limit

if TYPE_CHECKING:
    from thalweg.catalogue import Entry

BATCHES = 4  # steps in a turn: only the first finds another optimizer's numbers in the cache
TURNS = (3, 8)  # at least, at most; the first makes state and kernels and is not counted
SECONDS = 0.12  # an optimizer, while its turns are within their limits
SLOW = 0.03  # a step that takes so long is a turn by itself
TOGETHER = 2**30  # bytes of parameters and state held at once; above, one optimizer after the other


def measure_milliseconds(task: Task, entries: Sequence[Entry], limit: float | None = None) -> dict[str, float | None]:
    """The median time of a whole step of training by optimizer; None for one that raises, or takes `limit` seconds.

    The optimizers take turns, so that a machine that slows down slows down all of them alike.
    """
    if isinstance(task, OwnLoop):  # its steps are its own
        return {}
    with preserving_process(task.device):
        seed_everything(derive(0, "timing"), task.device)
        model = task.build(0)
        size = 4 * sum(p.numel() * p.element_size() for p in model.parameters())  # parameters, gradients, two states
        source = task.sources["train"].batches(derive(0, "timing"))
        batches = [to_device(batch, task.device) for batch in islice(source, BATCHES)]
        groups = [list(entries)] if size * len(entries) <= TOGETHER else [[entry] for entry in entries]
        found: dict[str, float | None] = {}
        for group in groups:
            found.update(_take_turns(task, {entry.name: entry for entry in group}, batches, limit))
    return found


def _take_turns(
    task: Task, entries: Mapping[str, Entry], batches: Sequence[Any], limit: float | None
) -> dict[str, float | None]:
    ready = {name: (model := task.build(0).train(), entry.build(model)) for name, entry in entries.items()}
    times: dict[str, list[float]] = {name: [] for name in entries}
    failed: set[str] = set()
    keyed = Keyed(Stream(0))
    allowed = time.perf_counter() + SECONDS * len(entries)
    for turn in range(TURNS[1]):
        if turn >= TURNS[0] and time.perf_counter() > allowed:
            break
        for name, (model, optimizer) in ready.items():
            if turn == 1:
                times[name].clear()
            try:
                with time_limit(limit):
                    for batch in batches if name not in failed else ():
                        times[name].append(_time(task, model, optimizer, batch, keyed))
                        if times[name][-1] > SLOW:
                            break
            except (Exception, TimedOut):  # its trials have said why
                failed.add(name)
    return {name: None if name in failed else round(1000 * median(spent), 5) for name, spent in times.items()}


def _time(task: Task, model: torch.nn.Module, optimizer: torch.optim.Optimizer, batch: Any, keyed: Keyed) -> float:
    _wait(task.device)
    start = time.perf_counter()
    step(task, model, optimizer, batch, keyed)
    _wait(task.device)
    return time.perf_counter() - start


def _wait(device: str) -> None:
    """A GPU's work is done only when it says so."""
    kind = torch.device(device).type
    if kind != "cpu":
        getattr(torch, kind).synchronize()
