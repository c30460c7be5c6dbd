"""One training whose learning rate climbs from step to step: what Smith's range test looks at."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from thalweg.lab.random.keyed import Keyed
from thalweg.lab.random.seeds import derive, seed_everything
from thalweg.lab.random.streams import Stream
from thalweg.lab.task.task import Task
from thalweg.lab.training.batches import Passes
from thalweg.lab.training.decay import settings_of
from thalweg.lab.training.divergence import Diverged, DivergenceMonitor
from thalweg.lab.training.loop import Outcome, step, switch

if TYPE_CHECKING:
    from thalweg.lab.training.job import Job
    from thalweg.lab.training.trial import Curve

PHASE = "range"


@dataclass(frozen=True)
class Climb:
    """Learning rates from `low` to `high`, each step the same factor above the last."""

    low: float
    high: float
    steps: int

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        return float(self.low * (self.high / self.low) ** (step / (self.steps - 1)))

    def train(self, task: Task, job: Job, curve: Curve) -> Outcome:
        """Train until the loss is far above its best, or to the end: both are how a climb ends well.

        The curve has a point a step; there is no validation, which is NaN.
        """
        setting = job.setting
        model = task.build(setting.seed)
        model.train()
        optimizer = job.entry.build(model.parameters(), **settings_of(task, job.entry, setting))
        switch(optimizer, "train")
        seed_everything(noise := derive(setting.seed, "noise"), task.device)
        keyed, watch = Keyed(Stream(noise)), DivergenceMonitor()
        batches = Passes(task, setting.seed).endless()
        first = float(optimizer.param_groups[0]["lr"])
        shares = [float(group["lr"]) / first for group in optimizer.param_groups]  # a group's own rate stays its share
        for place in range(self.steps):
            for group, share in zip(optimizer.param_groups, shares, strict=True):
                group["lr"] = share * self.rate(place)
            loss = step(task, model, optimizer, next(batches), keyed.at(place))
            curve.add(place + 1, [loss], math.nan, math.nan)
            try:
                watch.see(loss)
            except Diverged:
                break
        return Outcome()
