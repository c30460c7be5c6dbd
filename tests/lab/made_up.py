"""Studies made up of random numbers instead of trained models, judged by the code that judges real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import little
import numpy as np
from numpy.typing import NDArray

from thalweg.catalogue import Entry
from thalweg.lab.judging.rows import Table, build_table
from thalweg.lab.random.seeds import FRESH
from thalweg.lab.search.protocol import first_look
from thalweg.lab.training.job import Job
from thalweg.lab.training.loop import run_trial
from thalweg.lab.training.trial import Configuration, Curve, Trial


def trial(optimizer: str, index: int, seed: int, value: float, test: float | None = None, **changes: Any) -> Trial:
    """A finished trial of one epoch with these validation and test metrics; a finalist if it has a test value."""
    fields: dict[str, Any] = {
        "id": f"{optimizer}/{index}/{seed}",
        "phase": "search" if test is None else "final",
        "index": index,
        "optimizer": optimizer,
        "settings": {"lr": 10.0 ** (index / 4 - 3)},
        "seed": seed,
        "status": "done",
        "message": None,
        "steps": 10,
        "curve": Curve([10], [1.0], [1.0], [value]),
        "test_loss": None if test is None else -test,
        "test_metric": test,
        "seconds": 0.1,
        "started": 0.0,
    }
    return Trial(**{**fields, **changes})


@dataclass(frozen=True)
class World:
    """How optimizers truly differ and how seeds blur it, in seed deviations.

    Args:
        truth: what each optimizer is worth at its best learning rate.
        points: settings tried, the default and rates spread over two decades, somewhere in which the best one lies.
        reach: so many decades off the best, a setting loses one deviation; twice as many, four.
        related: the part of a model's luck that validation and test share.
        shared: the part of a seed's luck that the optimizers share.
        wide: an optimizer's seeds may lie further apart than 1.
        rows: the test metric is a share of so many rows, about 0.9 with a deviation of 0.01; exact if None.
    """

    truth: Sequence[float]
    seeds: int
    points: int = 24
    reach: float = 0.4
    finalists: int = 2
    related: float = 0.3
    shared: float = 0.3
    wide: Sequence[float] | None = None
    rows: int | None = None
    margin: float = 0.5

    @property
    def names(self) -> list[str]:
        return [f"optimizer {place}" for place in range(len(self.truth))]

    def study(self, random: np.random.Generator) -> Table:
        """Search on one seed, the best on validation go on, fresh seeds judge."""
        best = random.uniform(-0.5, 0.5)
        away = np.array([0.6, *np.linspace(-1, 1, self.points - 1)]) - best
        worth = np.asarray(self.truth)[:, None] - np.minimum((away / self.reach) ** 2, 30)
        wide = np.ones(len(self.truth)) if self.wide is None else np.asarray(self.wide)
        search, _ = self._values(random, worth, wide, 1)
        validation, test = self._values(random, worth, wide, self.seeds)
        trials = []
        for place, name in enumerate(self.names):
            trials += [trial(name, i, 0, float(search[place, i, 0])) for i in range(self.points)]
            for i in np.argsort(-search[place, :, 0])[: self.finalists].tolist():
                ends = zip(validation[place, i].tolist(), test[place, i].tolist(), strict=True)
                trials += [
                    trial(name, i, FRESH + seed, *both, test_loss=random.random()) for seed, both in enumerate(ends)
                ]
        margin = self.margin if self.rows is None else 0.01 * self.margin
        return build_table(trials, self.names, True, margin, 0.05)

    def _values(
        self, random: np.random.Generator, worth: NDArray[np.float64], wide: NDArray[np.float64], seeds: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        common = random.standard_normal((*worth.shape, seeds))
        found = []
        for _ in range(2):
            own = self.related**0.5 * common + (1 - self.related) ** 0.5 * random.standard_normal(common.shape)
            luck = self.shared**0.5 * random.standard_normal(seeds)
            found.append(worth[..., None] + luck + (1 - self.shared) ** 0.5 * wide[:, None, None] * own)
        if self.rows is not None:
            found[1] = np.round(self.rows * (0.9 + 0.01 * found[1])) / self.rows
        return found[0], found[1]


def verdicts(world: World, studies: int, seed: int = 0) -> list[Table]:
    """The tables of so many studies of one world."""
    random = np.random.default_rng(seed)
    return [world.study(random) for _ in range(studies)]


def share(tables: Sequence[Table], *words: str, of: Sequence[str] | None = None) -> float:
    """In how many studies one of these verdicts was given at least once (to one `of` these optimizers)."""
    hits = 0
    for table in tables:
        judged = [row for row in table.rows if row.judgement and (of is None or row.optimizer in of)]
        hits += any(row.judgement.verdict in words for row in judged if row.judgement)
    return hits / len(tables)


def trained_twins(number: int, rates: int = 6, seeds: int = 3) -> Table:
    """A study, really trained, of plain sgd under two names.

    The same seeds would make the twins the same to the bit, so one's seeds are others that only bear the same numbers.
    A pair then shares nothing but its number: the hardest case, as no luck of a seed cancels.
    """
    task, entry = little.task(epochs=2), Entry.of("sgd")
    settings = [{"lr": rate} for rate in first_look(1e-3, (1e-3, 5.0), rates)]

    def train(name: str, index: int, seed: int, phase: str) -> Trial:
        real = 100_000 * number + 10_000 * (name == "twin") + seed
        setting = Configuration(name, settings[index], real)
        return replace(run_trial(task, Job(f"{name}/{index}/{real}", phase, index, entry, setting, 2)), seed=seed)

    trials = []
    for name in ("sgd", "twin"):
        search = [train(name, index, 0, "search") for index in range(rates)]
        best = max(search, key=lambda t: (t.done, t.metric)).index
        trials += [*search, *(train(name, best, FRESH + seed, "final") for seed in range(seeds))]
    return build_table(trials, ["sgd", "twin"], True, 0.005, 0.05)
