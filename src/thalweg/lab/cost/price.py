"""What a study will cost, measured before it starts, and how much of it fits a budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from statistics import fmean
from typing import TYPE_CHECKING, Any

from thalweg.lab.cost.machine import measure_threads
from thalweg.lab.cost.step_time import measure_milliseconds
from thalweg.lab.isolation import preserving_process
from thalweg.lab.random.seeds import derive, seed_everything
from thalweg.lab.task.evaluation import evaluate
from thalweg.lab.task.length import evaluations, total_steps
from thalweg.lab.task.own_loop import OwnLoop
from thalweg.lab.task.task import Task

if TYPE_CHECKING:
    from thalweg.catalogue import Entry
    from thalweg.lab.runners.choice import Choice
    from thalweg.lab.runners.resources import Resources

READING = 0.5  # seconds to read batches for
SPARE = 0.9  # of a budget is planned with: the report and the runner's start take their share


class Estimate:
    """What a study's runs will take on this machine. Each figure is measured once, when it is first asked for.

    Args:
        task: what is trained.
        entries: the optimizers.
        epochs: passes over the data of one run.
        limit: seconds that one run may take; None for no limit.
        resources: GPUs and cores of a run.
    """

    def __init__(
        self,
        task: Task,
        entries: Sequence[Entry],
        epochs: int,
        limit: float | None = None,
        resources: Resources | None = None,
    ) -> None:
        self.task, self.entries, self.epochs, self.limit = task, entries, epochs, limit
        self.resources = resources
        self.choice: Choice | None = None  # how the runs are run, from when that is chosen

    @cached_property
    def threads(self) -> dict[str, Any]:
        """The torch threads of a run that trains alone, and why."""
        return measure_threads(self.task)

    @cached_property
    def milliseconds(self) -> dict[str, float | None]:
        """A step of each optimizer, on the threads that torch has now: those of a run."""
        return measure_milliseconds(self.task, self.entries, self.limit)

    def seconds(self, milliseconds: Mapping[str, float | None]) -> dict[str, float]:
        """What one run of each optimizer takes, one at a time: reading its data, its steps, and its evaluations.

        An optimizer whose steps could not be measured counts as the mean of the others; nothing where none could, or
        where the data cannot tell its length.
        """
        if isinstance(self.task, OwnLoop):  # told after its first run
            return {}
        steps = total_steps(self.task, self.epochs)
        known = [spent for spent in milliseconds.values() if spent is not None]
        if steps is None or not known:
            return {}
        usual = fmean(known)
        besides = evaluations(self.task, self.epochs) * self._evaluation + self._waiting(steps, usual / 1000)
        return {
            name: steps * (usual if spent is None else spent) / 1000 + besides for name, spent in milliseconds.items()
        }

    def affordable(
        self, budget: float, gain: float, runs: Callable[[int], Mapping[str, int]], wanted: int, least: int
    ) -> int:
        """The largest number, at most `wanted`, whose runs fit into a budget in seconds; the least where none does: the
        budget is a deadline, and what it leaves out is said.

        Args:
            budget: in seconds.
            gain: how many times as many runs a second there are as one at a time.
            runs: how many each optimizer gets, by that number.
            wanted: the most.
            least: the fewest that are of use.
        """
        each = self.seconds(self.milliseconds)
        if not each:  # nobody can tell before it runs
            return wanted

        def cost(number: int) -> float:
            return sum(count * each[name] for name, count in runs(number).items()) / gain

        fitting = [number for number in range(least, wanted + 1) if cost(number) <= SPARE * budget]
        return fitting[-1] if fitting else least

    @cached_property
    def _evaluation(self) -> float:
        return _evaluation(self.task)

    @cached_property
    def _reading(self) -> tuple[float, float]:
        return reading(self.task)

    def _waiting(self, steps: int, step: float) -> float:
        """What a run waits for its data: all that reading takes, or with a DataLoader's workers what exceeds a step."""
        (batch, first), source = self._reading, self.task.sources["train"]
        loader = getattr(source, "loader", None)
        if loader is not None and loader.num_workers:
            batch = max(0.0, batch - step / self.task.accumulate)
        batches = steps * self.task.accumulate
        passes = self.epochs if self.task.steps is None or not source.length else -(-batches // source.length)
        return batches * batch + passes * first


def reading(task: Task) -> tuple[float, float]:
    """Seconds to read a batch of the training data, and until a pass has its first one."""
    start, times = time.perf_counter(), []
    with preserving_process(task.device):
        seed_everything(derive(0, "timing"), task.device)
        for _ in task.sources["train"].batches(derive(0, "timing")):
            times.append(time.perf_counter() - start)
            if times[-1] > READING:
                break
    if not times:
        return 0.0, 0.0
    batch = (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else times[0]
    return batch, max(0.0, times[0] - batch)


def _evaluation(task: Task) -> float:
    """Seconds of one evaluation; the second of two, as the first one also warms up."""
    with preserving_process(task.device):
        seed_everything(derive(0, "timing"), task.device)
        model = task.build(0)
        for _ in range(2):
            start = time.perf_counter()
            evaluate(task, model, task.sources["validation"])
    return time.perf_counter() - start
