"""Smith's range test with several seeds: one short training a seed whose learning rate climbs; then a small sweep."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from thalweg.lab.arguments import folder_of, integer, search_seeds, seconds, span, the_task
from thalweg.lab.cost.price import Estimate
from thalweg.lab.errors import LabError
from thalweg.lab.results import RangeTest
from thalweg.lab.results.range_test import INSIDE, OUTSIDE, interval_of
from thalweg.lab.runners import Runner
from thalweg.lab.study.campaign import Campaign
from thalweg.lab.study.optimizers import check_fit, one_of
from thalweg.lab.study.session import describe, open_campaign
from thalweg.lab.study.store import default_folder
from thalweg.lab.task.own_loop import OwnLoop
from thalweg.lab.task.task import Task
from thalweg.lab.training.climb import PHASE, Climb
from thalweg.lab.training.job import Job
from thalweg.lab.training.loop import run_trial
from thalweg.lab.training.spec import Spec
from thalweg.lab.training.trial import Trial
from thalweg.lab.verbs.options import FewEpochs, Out, Tell, TheOptimizer, TheTask, TimeLimit, Where
from thalweg.lab.verbs.sweep import MOST_EPOCHS
from thalweg.lab.verbs.verb import Option, verb

if TYPE_CHECKING:
    from thalweg.catalogue import Entry

__all__ = ["RangeTest", "range_test"]


@verb
def range_test(
    task: TheTask,
    optimizer: TheOptimizer,
    *,
    low: Annotated[float, Option("Where the learning rate begins.")] = 1e-7,
    high: Annotated[float, Option("Where it ends, unless the loss blows up before.")] = 10.0,
    steps: Annotated[int, Option("Steps of one climb.")] = 200,
    seeds: Annotated[int, Option("Climbs, and seeds for each rate of the sweep that verifies them.")] = 3,
    epochs: FewEpochs = None,
    time_limit: TimeLimit = None,
    on: Where = "auto",
    out: Out = None,
    progress: Tell = None,
) -> RangeTest:
    """Find an interval of learning rates in a few hundred steps, and verify it. Rerun it to resume the study.

    The learning rate climbs from `low` to `high` within one run, by the same factor each step. The interval goes
    from where the smoothed loss falls fastest to where it turns up; then rates inside it and just outside train in
    full, as in a sweep, and the answer says whether these agree.

    Raises:
        TaskError: for a task that cannot be trained.
        StudyError: for a folder that holds another study.
        LabError: for anything else that is not allowed.
    """
    task, loaded_from, here = the_task(task)
    if isinstance(task, OwnLoop):
        raise LabError(
            "task: a range test climbs within one run, and needs a thalweg.Task; `sweep` takes your own loop"
        )
    entries = one_of(optimizer, task)
    if entries[0].default_rate is None:
        raise LabError(f"optimizer: {entries[0].name} has no learning rate to test")
    climb = Climb(*span("low, high", (low, high)), integer("steps", steps, least=20))
    search_seeds(seeds)
    epochs = min(task.epochs, MOST_EPOCHS) if epochs is None else integer("epochs", epochs)
    task.check()
    check_fit(task, entries)
    protocol = {"low": climb.low, "high": climb.high, "steps": steps, "seeds": seeds}
    spec = describe("range-test", task, loaded_from, epochs, entries, protocol)

    def total(spec: Spec) -> int:
        return seeds * (2 + INSIDE + 2)  # a climb, the default, inside, a rate beyond each end

    estimate = Estimate(task, entries, epochs, seconds("time_limit", time_limit))
    folder = folder_of(out, here, task.name, "range", entries[0].name)
    folder = folder if out is not None else default_folder(folder, spec)
    with open_campaign(estimate, spec, folder, total, on=on, progress=progress) as campaign:
        RangeTesting(campaign, entries[0], climb, range(seeds)).run()
        result = RangeTest(*campaign.study.parts)
        result.save()
    return result


class RangeTesting:
    """Plans a range test: the climbs, then a small sweep of what they found."""

    def __init__(self, campaign: Campaign, entry: Entry, climb: Climb, seeds: range) -> None:
        self.campaign, self.entry, self.climb, self.seeds = campaign, entry, climb, seeds

    def run(self) -> None:
        jobs = [self._climb(seed) for seed in self.seeds]
        own, self.campaign.runner = self.campaign.runner, Climbing(self.climb)
        try:
            climbs = self.campaign.run(jobs)
        finally:
            self.campaign.runner = own
        result = interval_of(climbs, self.climb)
        if result is None:
            self.campaign.total = len(self.seeds)
            return
        rates = {0: self.entry.default_rate}
        for index, rate in enumerate(around(*result), 1):
            rates |= {} if rate in rates.values() else {index: rate}
        jobs = [
            self.campaign.job(self.entry, {"lr": rate}, seed, index=index)
            for seed in self.seeds
            for index, rate in rates.items()
        ]
        self.campaign.total = len(self.seeds) + len(jobs)
        self.campaign.run(jobs)

    def _climb(self, seed: int) -> Job:
        """A climb's identity is its own: it is not that of a run at its first learning rate."""
        job = self.campaign.job(self.entry, {"lr": self.climb.low}, seed, phase=PHASE)
        identity = f"{self.campaign.identity}, {self.climb}, {self.entry.settings}"
        return replace(job, id=job.setting.identity(identity))


class Climbing(Runner):
    """Climbs, one after the other: they are short, and no batch of lanes steps its learning rate."""

    name = "climbing"

    def __init__(self, climb: Climb) -> None:
        self.climb = climb

    def run(self, task: Task, jobs: Sequence[Job]) -> Iterator[Trial]:
        for job in jobs:
            yield run_trial(task, job, self.climb.train)


def around(low: float, high: float) -> list[float]:
    """The rates of the small sweep, rising: one before the interval, those in it with both ends, one behind it."""
    inside = [low * (high / low) ** (position / (INSIDE - 1)) for position in range(INSIDE)]
    return [float(f"{rate:.3g}") for rate in (low / OUTSIDE, *inside, high * OUTSIDE)]
