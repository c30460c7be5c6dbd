"""A made-up comparison of any size: the shapes of real ones, without the training."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

from thalweg.lab.random.seeds import FRESH
from thalweg.lab.results import Comparison
from thalweg.lab.training.trial import Curve, Trial


def comparison(
    folder: Path, optimizers: int, *, trials: int = 25, finalist_seeds: int = 10, epochs: int = 20
) -> Comparison:
    """Optimizers of rising quality, each with a best learning rate of its own; the highest rates diverge."""
    names = [f"optimizer_{number}" for number in range(optimizers)]
    made: list[Trial] = []
    for number, name in enumerate(names):
        chance = random.Random(number)
        middle = 10.0 ** chance.uniform(-4, -1)
        rates = [middle] + [float(f"{middle * 10 ** (4 * i / (trials - 2) - 2.5):.3g}") for i in range(trials - 1)]
        for index, rate in enumerate(rates):
            made.append(_trial(name, number, index, rate, middle, 0, "search", epochs, chance))
        best = sorted(range(1, trials), key=lambda index: abs(math.log(rates[index] / middle)))[:2]
        for index in best:
            for seed in range(FRESH, FRESH + finalist_seeds):
                made.append(_trial(name, number, index, rates[index], middle, seed, "final", epochs, chance))
    lr = {"default": 0.001, "search": [0.0001, 0.1]}
    spec: dict[str, Any] = {
        "verb": "compare",
        "task": {
            "name": "made up", "identity": "none", "metric": "accuracy", "larger_is_better": True, "epochs": epochs,
            "batch_size": 32, "margin": None, "data": {"train": "1000 rows"}, "loaded_from": None,
        },
        "optimizers": {name: {"class": "Adam", "module": "torch.optim", "settings": {}, "lr": lr} for name in names},
        "protocol": {
            "preset": "standard", "trials": trials, "seeds": 1, "finalists": 2, "finalist_seeds": finalist_seeds,
            "alpha": 0.05,
        },
    }  # fmt: skip
    versions = {"threads": {"threads": 2}, "milliseconds": {name: 0.3 for name in names}}
    return Comparison(folder, spec, versions, made)


def _trial(
    name: str, number: int, index: int, rate: float, middle: float, seed: int, phase: str, epochs: int, chance: Any
) -> Trial:
    off = math.log10(rate / middle)
    status = "diverged" if off > 1.2 else "done"
    good = 0.97 - 0.001 * number - 0.05 * off**2 + chance.gauss(0, 0.003)
    curve = [max(0.1, good - 0.5 * math.exp(-epoch / 4)) for epoch in range(epochs)]
    length = epochs if status == "done" else 1
    return Trial(
        id=f"{abs(hash((name, index, seed))):016x}"[:16],
        phase=phase,
        index=index,
        optimizer=name,
        settings={"lr": rate},
        seed=seed,
        status=status,
        message=None if status == "done" else "smoothed training loss 19.45 is above 9.21, 4 x its best",
        steps=34 * length,
        curve=Curve(
            [34 * (epoch + 1) for epoch in range(length)],
            [1 - value for value in curve[:length]],
            [-math.log(value) for value in curve[:length]],
            curve[:length],
        ),
        test_loss=0.1 if phase == "final" and status == "done" else None,
        test_metric=good + chance.gauss(0, 0.002) if phase == "final" and status == "done" else None,
        seconds=chance.uniform(0.1, 0.2),
        started=0.0,
    )
