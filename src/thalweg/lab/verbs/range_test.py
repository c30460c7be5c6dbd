"""Smith's range test with several seeds: one short training a seed whose learning rate climbs; then a small sweep."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.lab.arguments import folder_of, integer, search_seeds, seconds, span, the_task
from thalweg.lab.errors import LabError
from thalweg.lab.results import RangeTest
from thalweg.lab.results.range_test import INSIDE, OUTSIDE, interval_of
from thalweg.lab.runners import Runner
from thalweg.lab.study.campaign import Campaign, Progress
from thalweg.lab.study.optimizers import resolve
from thalweg.lab.study.session import describe, open_campaign
from thalweg.lab.task.task import Task
from thalweg.lab.training.climb import PHASE, Climb
from thalweg.lab.training.job import Job
from thalweg.lab.training.loop import run_trial
from thalweg.lab.training.trial import Trial
from thalweg.lab.verbs.sweep import MOST_EPOCHS

if TYPE_CHECKING:
    from thalweg.catalogue import Entry

__all__ = ["RangeTest", "range_test"]


def range_test(
    task: Task | str,
    optimizer: Any,
    *,
    low: float = 1e-7,
    high: float = 10.0,
    steps: int = 200,
    seeds: int = 3,
    epochs: int | None = None,
    time_limit: str | float | None = None,
    on: str = "auto",
    out: str | Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> RangeTest:
    """Find an interval of learning rates in a few hundred steps, and verify it. The same call again resumes.

    The learning rate climbs from `low` to `high` within one training, by the same factor each step. The interval goes
    from where the smoothed loss falls fastest to where it turns up; then rates inside it and just outside train in
    full, as in a sweep, and the answer says whether these agree.

    Args:
        task: a `Task`, or what the command line takes: "digits", "my_task.py:task".
        optimizer: a name from the catalogue, an entry or a `torch.optim.Optimizer` class.
        steps: of one climb.
        seeds: climbs, and seeds for each rate of the small sweep.
        epochs: of the small sweep; the task's own, at most 10, if None.
        time_limit: how long one run may take, such as "10m"; one that takes longer is "timed out", and has failed.
        on: where to train the small sweep: "auto", "alone", "lanes", "processes", "ray" or "ray:ADDRESS".
        out: the study's folder; `studies/<task>-range-<optimizer>` if None.
        progress: called after each training.

    Raises:
        TaskError: for a task that cannot be trained.
        StudyError: for a folder that holds another study.
        LabError: for anything else that is not allowed.
    """
    task, loaded_from, here = the_task(task)
    entries = resolve(optimizer)
    if len(entries) > 1:
        raise LabError(f"optimizer: got {len(entries)}; must be one")
    if entries[0].default_rate is None:
        raise LabError(f"optimizer: {entries[0].name} has no learning rate to test")
    climb = Climb(*span("low, high", (low, high)), integer("steps", steps, least=20))
    search_seeds(seeds)
    epochs = min(task.epochs, MOST_EPOCHS) if epochs is None else integer("epochs", epochs)
    task.check()
    protocol = {"low": climb.low, "high": climb.high, "steps": steps, "seeds": seeds}
    spec = describe("range-test", task, loaded_from, epochs, entries, protocol)

    def total(spec: Mapping[str, Any]) -> int:
        return seeds * (2 + INSIDE + 2)  # a climb, the default, inside, a rate beyond each end

    longest = seconds("time_limit", time_limit)
    folder = folder_of(out, here, task.name, "range", entries[0].name)
    with open_campaign(task, spec, folder, entries, total, on=on, limit=longest, progress=progress) as campaign:
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
        """A climb's identity is its own: it is no training at its first learning rate."""
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
