"""Jobs to run, and trials to compare."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from thalweg.catalogue import Entry
from thalweg.lab.training.job import Job
from thalweg.lab.training.trial import Configuration, Trial

SPEC: dict[str, Any] = {  # of a study that is not run
    "task": {
        "name": "little",
        "identity": "a",
        "metric": "accuracy",
        "larger_is_better": True,
        "epochs": 3,
        "batch_size": 32,
        "margin": None,
        "data": {},
    },
    "optimizers": {"sgd": {"class": "SGD", "settings": {}}, "adam": {"class": "Adam", "settings": {}}},
    "protocol": {
        "preset": "quick",
        "trials": 8,
        "seeds": 1,
        "finalists": 1,
        "finalist_seeds": 3,
        "alpha": 0.05,
        "hyperparameters": ["lr"],
        "budget": None,
    },
}


def job(optimizer: Any, lr: float, seed: int = 0, phase: str = "search", epochs: int = 3) -> Job:
    entry = Entry.of(optimizer)
    setting = Configuration(entry.name, {"lr": lr}, seed)
    return Job(setting.identity(f"{phase} {epochs}"), phase, 0, entry, setting, epochs)


def jobs(optimizers: Sequence[Any], rates: Sequence[float] = (0.1, 0.01), seeds: int = 2, **more: Any) -> list[Job]:
    return [job(optimizer, lr, seed, **more) for optimizer in optimizers for lr in rates for seed in range(seeds)]


def numbers(trials: Iterable[Trial]) -> dict[str, str]:
    """All that must not depend on where a trial ran; NaN equals NaN."""
    return {
        trial.id: repr((trial.status, trial.message, trial.curve, trial.test_loss, trial.test_metric))
        for trial in trials
    }
