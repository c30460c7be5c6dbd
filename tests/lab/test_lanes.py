"""Trainings side by side give what each gives alone, whoever the neighbours are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import little
import pytest
import torch
from torch import nn

from thalweg.catalogue import Entry
from thalweg.lab.job import Job
from thalweg.lab.runners.alone import Alone
from thalweg.lab.runners.lanes import Lanes
from thalweg.lab.task import Task
from thalweg.lab.trial import Setting, Trial


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Convolutions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Dropout2d(0.2),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(4 * 3 * 3, 3),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


class Attention(nn.Module):
    """An embedding and a block with dropout in its attention."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.norm = nn.Embedding(11, 8), nn.LayerNorm(8)
        self.mixed, self.out, self.drop = nn.Linear(8, 24), nn.Linear(8, 3), nn.Dropout(0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.embedding(x)
        query, key, value = (
            part.unflatten(-1, (2, 4)).transpose(1, 2) for part in self.mixed(self.norm(h)).chunk(3, -1)
        )
        rate = 0.1 if self.training else 0.0
        mixed = nn.functional.scaled_dot_product_attention(query, key, value, dropout_p=rate, is_causal=True)
        return self.out((h + self.drop(mixed.transpose(1, 2).flatten(2))).mean(1))


def images(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    pixels = torch.randn(count, 1, 6, 6, generator=torch.Generator().manual_seed(seed))
    return pixels, pixels.flatten(1)[:, :3].argmax(1)


def words(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    letters = torch.randint(11, (count, 7), generator=torch.Generator().manual_seed(seed))
    return letters, letters.sum(1) % 3


def task_of(model: Any, rows: Any, **changes: Any) -> Task:
    parts = {"train": rows(72, 0), "validation": rows(40, 1), "test": rows(40, 2)}
    return little.task(**{"model": model, **parts, "epochs": 2, "batch_size": 16, **changes})


TASKS = {
    "perceptron": lambda **changes: little.task(epochs=2, **changes),
    "convolutions": lambda **changes: task_of(Convolutions, images, **changes),
    "attention": lambda **changes: task_of(Attention, words, **changes),
}


def job(name: str | int, entry: Any, seed: int = 0, phase: str = "search", epochs: int = 2, **settings: Any) -> Job:
    found = Entry.of(entry)
    size = settings.pop("batch_size", None)
    return Job(str(name), phase, 0, found, Setting(found.name, settings, seed, size), epochs)


def alike(one: Trial, other: Trial, relative: float = 1e-5) -> bool:
    if (one.status, one.message, one.steps, one.best, one.stopped, one.curve.steps) != (
        (other.status, other.message, other.steps, other.best, other.stopped, other.curve.steps)
    ):
        return False
    pairs = [(one.test_loss, other.test_loss), (one.test_metric, other.test_metric)]
    for name in ("train_loss", "validation_loss", "validation_metric"):
        pairs += zip(getattr(one.curve, name), getattr(other.curve, name), strict=True)
    same = (
        (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=relative) for a, b in pairs if a is not None
    )
    return all(same) and [a is None for a, _ in pairs] == [b is None for _, b in pairs]


def check(task: Task, jobs: Sequence[Job], lanes: int = 8, reasons: Sequence[str] = ()) -> dict[str, Trial]:
    """Each trial is in lanes what it is alone; nothing fell back but for these reasons."""
    runner = Lanes(lanes)
    found = {trial.id: trial for trial in runner.run(task, jobs)}
    assert runner.reasons == list(reasons)
    assert sorted(found) == sorted(job.id for job in jobs)
    for trial in Alone().run(task, jobs):
        assert alike(found[trial.id], trial), (trial, found[trial.id])
    return found


KINDS = ["adam", "momentum", "radam", "lion", "lamb", "prodigy", "schedule_free_adamw", torch.optim.RMSprop]


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("lanes", [1, 3, 8])
def test_a_lane_is_a_lone_run(kind: str, lanes: int) -> None:
    """Whatever the number of lanes, the optimizers, the seeds and the last batch's size."""
    jobs = [job(place, entry, seed=place % 3, phase="final") for place, entry in enumerate(KINDS)]
    check(TASKS[kind](), jobs, lanes)


def test_every_rule_rides_or_says_why() -> None:
    from thalweg.catalogue import CATALOGUE

    jobs = [job(name, name, epochs=1) for name, entry in CATALOGUE.items() if entry.takes_dense]
    jobs.append(job("lbfgs", torch.optim.LBFGS, epochs=1))
    reasons = [
        "AdaHessian needs the gradients' graph for its curvature",
        "LBFGS works the loss out anew several times a step",
    ]
    check(TASKS["perceptron"](), jobs, 64, reasons)
