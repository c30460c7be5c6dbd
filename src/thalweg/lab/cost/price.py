"""What a study will cost, measured before it starts, and how much of it fits a budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from statistics import fmean
from typing import TYPE_CHECKING, Any

from thalweg.lab.arguments import length
from thalweg.lab.cost.machine import measure_threads
from thalweg.lab.cost.step_time import measure_milliseconds
from thalweg.lab.errors import LabError
from thalweg.lab.isolation import preserving_process
from thalweg.lab.random.seeds import derive, seed_everything
from thalweg.lab.task.evaluation import evaluate
from thalweg.lab.task.length import evaluations, total_steps
from thalweg.lab.task.task import Task

if TYPE_CHECKING:
    from thalweg.catalogue import Entry
    from thalweg.lab.runners.choice import Choice

SPARE = 0.9  # of a budget is planned with: the report and the runner's start take their share


class Estimate:
    """What a study's runs will take on this machine. Each figure is measured once, when it is first asked for.

    Args:
        task: what is trained.
        entries: the optimizers.
        epochs: passes over the data of one run.
        limit: seconds that one run may take; None for no limit.
    """

    def __init__(self, task: Task, entries: Sequence[Entry], epochs: int, limit: float | None = None) -> None:
        self.task, self.entries, self.epochs, self.limit = task, entries, epochs, limit
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
        """What one run of each optimizer takes, one at a time, given its steps': these, and its evaluations.

        An optimizer whose steps could not be measured counts as the mean of the others; nothing where none could, or
        where the data cannot tell its length.
        """
        steps = total_steps(self.task, self.epochs)
        known = [spent for spent in milliseconds.values() if spent is not None]
        if steps is None or not known:
            return {}
        besides = evaluations(self.task, self.epochs) * self._evaluation
        usual = fmean(known)
        return {
            name: steps * (usual if spent is None else spent) / 1000 + besides for name, spent in milliseconds.items()
        }

    def affordable(
        self, budget: float, gain: float, runs: Callable[[int], Mapping[str, int]], wanted: int, least: int
    ) -> int:
        """The largest number, at most `wanted`, whose runs fit into a budget in seconds.

        Args:
            budget: in seconds.
            gain: how many times as many runs a second there are as one at a time.
            runs: how many each optimizer gets, by that number.
            wanted: the most.
            least: the fewest that are of use.

        Raises:
            LabError: where not even the least fits; it says what would.
        """
        each = self.seconds(self.milliseconds)
        if not each:
            raise LabError(
                "budget: cannot be planned with: a DataLoader that cannot tell its length; give the task steps="
            )

        def cost(number: int) -> float:
            return sum(count * each[name] for name, count in runs(number).items()) / gain

        fitting = [number for number in range(least, wanted + 1) if cost(number) <= SPARE * budget]
        if not fitting:
            would = length(cost(least) / SPARE)
            raise LabError(
                f"budget: {length(budget)} is not enough; the least, {least} settings of each of {len(self.entries)} "
                f"optimizers, takes about {would}. Give that, or fewer optimizers, seeds or epochs"
            )
        return fitting[-1]

    @cached_property
    def _evaluation(self) -> float:
        return _evaluation(self.task)


def _evaluation(task: Task) -> float:
    """Seconds of one evaluation; the second of two, as the first one also warms up."""
    with preserving_process(task.device):
        seed_everything(derive(0, "timing"), task.device)
        model = task.build(0)
        for _ in range(2):
            start = time.perf_counter()
            evaluate(task, model, task.sources["validation"])
    return time.perf_counter() - start
