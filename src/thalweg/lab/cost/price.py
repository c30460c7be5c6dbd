"""What a study will cost, measured before it starts, and how much of it fits a budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from thalweg.lab.arguments import length
from thalweg.lab.cost.machine import measure_threads, torch_threads
from thalweg.lab.cost.step_time import measure_milliseconds
from thalweg.lab.errors import LabError
from thalweg.lab.isolation import preserving_process
from thalweg.lab.random.seeds import derive, seed_everything
from thalweg.lab.task.evaluation import evaluate
from thalweg.lab.task.length import evaluations, total_steps
from thalweg.lab.task.task import Task

if TYPE_CHECKING:
    from thalweg.catalogue import Entry

SPARE = 0.9  # of a budget is planned with: the report and the runner's start take their share


def seconds_a_run(task: Task, epochs: int, milliseconds: Mapping[str, float | None]) -> dict[str, float]:
    """What one run of each optimizer takes, one at a time: its steps, and its evaluations.

    An optimizer whose steps could not be measured counts as the mean of the others; nothing where none could, or where
    the data cannot tell its length.
    """
    steps = total_steps(task, epochs)
    known = [spent for spent in milliseconds.values() if spent is not None]
    if steps is None or not known:
        return {}
    besides = evaluations(task, epochs) * _evaluation(task)
    usual = fmean(known)
    return {name: steps * (usual if spent is None else spent) / 1000 + besides for name, spent in milliseconds.items()}


def afford(
    budget: float,
    task: Task,
    entries: Sequence[Entry],
    epochs: int,
    gain: float,
    runs: Callable[[int], Mapping[str, int]],
    wanted: int,
    least: int,
    limit: float | None = None,
) -> int:
    """The largest number, at most `wanted`, whose runs fit into a budget in seconds.

    Args:
        gain: how many times as many runs a second there are as one at a time.
        runs: how many each optimizer gets, by that number.
        limit: seconds that one run may take.

    Raises:
        LabError: where not even the least fits; it says what would.
    """
    with torch_threads(int(measure_threads(task)["threads"])):
        each = seconds_a_run(task, epochs, measure_milliseconds(task, entries, limit))
    if not each:
        raise LabError("budget: cannot be planned with: a DataLoader that cannot tell its length; give the task steps=")

    def cost(number: int) -> float:
        return sum(count * each[name] for name, count in runs(number).items()) / gain

    fitting = [number for number in range(least, wanted + 1) if cost(number) <= SPARE * budget]
    if not fitting:
        raise LabError(
            f"budget: {length(budget)} is not enough; the least, {least} settings of each of {len(entries)} "
            f"optimizers, takes about {length(cost(least) / SPARE)}. Give that, or fewer optimizers, seeds or epochs"
        )
    return fitting[-1]


def _evaluation(task: Task) -> float:
    """Seconds of one evaluation; the second of two, as the first one also warms up."""
    with preserving_process(task.device):
        seed_everything(derive(0, "timing"), task.device)
        model = task.build(0)
        for _ in range(2):
            start = time.perf_counter()
            evaluate(task, model, task.sources["validation"])
    return time.perf_counter() - start
