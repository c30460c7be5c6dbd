"""One run whose learning rate climbs from step to step: what Smith's range test looks at."""

from __future__ import annotations

import math
from dataclasses import dataclass

from thalweg.lab.random.keyed import Keyed
from thalweg.lab.random.seeds import derive, seed_everything
from thalweg.lab.random.streams import Stream
from thalweg.lab.training.batches import Passes
from thalweg.lab.training.divergence import ClimbMonitor, Diverged
from thalweg.lab.training.loop import step
from thalweg.lab.training.run import Run
from thalweg.lab.training.trial import Status

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

    def train(self, run: Run) -> None:
        """Train until the loss is far above its best, or to the end: both are how a climb ends well.

        The curve has an entry a step; there is no validation, which is NaN.
        """
        task, seed = run.task, run.seed
        model = task.build(seed)
        model.train()
        run.start(model)
        optimizer = run.optimizer
        assert optimizer is not None
        seed_everything(noise := derive(seed, "noise"), task.device)
        keyed = Keyed(Stream(noise))
        batches, monitor = Passes(task, seed).endless(), ClimbMonitor()
        first = float(optimizer.param_groups[0]["lr"])
        shares = [float(group["lr"]) / first for group in optimizer.param_groups]  # a group's own rate stays its share
        for index in range(self.steps):
            for group, share in zip(optimizer.param_groups, shares, strict=True):
                group["lr"] = share * self.rate(index)
            loss = step(task, model, optimizer, next(batches), keyed.at(index))
            run.curve.add(index + 1, [loss], math.nan, math.nan)
            try:
                monitor.see(loss)
            except Diverged:
                break
        run.status = Status.DONE
