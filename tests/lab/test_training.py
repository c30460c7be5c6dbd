"""The training loop does what a loop written by hand does, to the bit: schedules, clipping, decay, early stopping."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from typing import Any, ClassVar

import little
import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader, Dataset, TensorDataset

from thalweg.catalogue import CATALOGUE, Entry
from thalweg.lab.errors import TaskError
from thalweg.lab.judging.notes import _run_notes
from thalweg.lab.random.seeds import derive
from thalweg.lab.search.protocol import Protocol
from thalweg.lab.study.session import describe
from thalweg.lab.task.task import Task
from thalweg.lab.training.batches import rounds
from thalweg.lab.training.early_stopping import EarlyStopping
from thalweg.lab.training.job import Job
from thalweg.lab.training.loop import run_trial
from thalweg.lab.training.trial import Configuration, Trial

SGD, ADAM = Entry.of(torch.optim.SGD), Entry.of(torch.optim.Adam)
X, Y = little.rows(128, 0)
VALIDATION = little.rows(64, 1)


def plain() -> nn.Module:
    """Without dropout: a loop by hand draws nothing."""
    return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))


def run(task: Task, entry: Entry = SGD, phase: str = "search", seed: int = 0, **settings: Any) -> Trial:
    settings = {"lr": 0.1, **settings}
    return run_trial(task, Job("x", phase, 0, entry, Configuration(entry.name, settings, seed), task.epochs))


def by_hand(
    task: Task,
    make: Callable[[Any], torch.optim.Optimizer],
    schedule: Callable[[torch.optim.Optimizer], Any] | None = None,
    every: str = "step",
    after_backward: Callable[[nn.Module], None] = lambda model: None,
    penalty: Callable[[nn.Module], Any] = lambda model: 0.0,
) -> tuple[list[float], list[float]]:
    """Validation losses, and the learning rate of each step."""
    model = task.build(0)
    optimizer = make(model.parameters())
    scheduler = schedule(optimizer) if schedule else None
    losses, rates = [], []
    for epoch in range(task.epochs):
        order = torch.randperm(128, generator=torch.Generator().manual_seed(derive(0, "order", epoch)))
        for rows in order.split(32):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(X[rows]), Y[rows])
            (loss + penalty(model)).backward()
            after_backward(model)
            optimizer.step()
            if scheduler and every == "step":
                scheduler.step()
        with torch.no_grad():
            losses.append(nn.functional.cross_entropy(model(VALIDATION[0]), VALIDATION[1]).item())
        if scheduler and every == "epoch":
            scheduler.step()
        if scheduler and every == "plateau":
            scheduler.step(losses[-1])
    return losses, rates


def warm_up(optimizer: torch.optim.Optimizer, steps: int) -> lr_scheduler.LRScheduler:
    rise = lr_scheduler.LinearLR(optimizer, 0.1, total_iters=3)
    fall = lr_scheduler.CosineAnnealingLR(optimizer, steps - 3)
    return lr_scheduler.SequentialLR(optimizer, [rise, fall], milestones=[3])


SCHEDULES: dict[str, tuple[Callable[..., Any], str]] = {
    "step decay": (lambda optimizer, steps: lr_scheduler.StepLR(optimizer, 2, 0.5), "epoch"),
    "exponential": (lambda optimizer, steps: lr_scheduler.ExponentialLR(optimizer, 0.9), "step"),
    "cosine": (lambda optimizer, steps: lr_scheduler.CosineAnnealingLR(optimizer, steps), "step"),
    "cosine by epoch": (lambda optimizer, steps: lr_scheduler.CosineAnnealingLR(optimizer, steps), "epoch"),
    "one cycle": (lambda optimizer, steps: lr_scheduler.OneCycleLR(optimizer, 0.3, total_steps=steps), "step"),
    "warm-up": (warm_up, "step"),
}


@pytest.mark.parametrize("entry", [ADAM, CATALOGUE["radam"]], ids=lambda entry: entry.name)
@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_is_that_of_a_loop_by_hand(name: str, entry: Entry) -> None:
    make, every = SCHEDULES[name]
    task = little.task(model=plain, schedule=make, schedule_every=every, epochs=4, metric="loss")
    task.check()
    steps = 16 if every == "step" else 4
    expected, rates = by_hand(task, partial(entry.build, lr=0.1), lambda optimizer: make(optimizer, steps), every)
    assert run(task, entry).curve.validation_loss == expected
    assert len(set(rates)) > 1  # the schedule did something


def test_reduce_on_plateau_follows_the_validation_metric() -> None:
    def schedule(optimizer: torch.optim.Optimizer, steps: int) -> Any:
        return lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.5, threshold=0.075)

    task = little.task(model=plain, schedule=schedule, epochs=8, metric="loss")
    expected, rates = by_hand(task, partial(torch.optim.SGD, lr=0.1), lambda found: schedule(found, 0), "plateau")
    assert run(task).curve.validation_loss == expected
    assert rates[0] == rates[8] > rates[-1]  # the first epochs were better by enough, not all


def test_reduce_on_plateau_the_wrong_way_is_refused() -> None:
    task = little.task(schedule=lambda optimizer, steps: lr_scheduler.ReduceLROnPlateau(optimizer))
    message = "schedule: ReduceLROnPlateau has mode='min'; must be 'max', as it follows the validation accuracy"
    with pytest.raises(TaskError, match=message):
        task.check()
    assert message in str(run(task).message)


class Stream(torch.utils.data.IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return iter(zip(X, Y, strict=True))


def test_a_schedule_needs_to_know_how_many_steps_there_are() -> None:
    make = SCHEDULES["cosine"][0]
    task = little.task(train=DataLoader(Stream(), 32), schedule=make)
    with pytest.raises(TaskError, match="schedule: train is a DataLoader that cannot tell its length; give .* steps="):
        task.check()
    assert run(replace(task, steps=8, epochs=2)).curve.steps == [4, 8]


@pytest.mark.parametrize("made", [3, None, torch.optim.Adam([torch.zeros(1)])])
def test_what_is_no_scheduler_is_refused(made: Any) -> None:
    with pytest.raises(TaskError, match=f"schedule: returned {type(made).__name__}; must return one of torch"):
        little.task(schedule=lambda optimizer, steps: made).check()


def test_clipping_is_torchs() -> None:
    task = little.task(model=plain, clip_norm=0.05, metric="loss")
    clip = lambda model: nn.utils.clip_grad_norm_(model.parameters(), 0.05)  # noqa: E731
    expected, _ = by_hand(task, partial(torch.optim.SGD, lr=0.1), after_backward=clip)
    assert run(task).curve.validation_loss == expected
    assert run(replace(task, clip_norm=None)).curve.validation_loss != expected
    closures = [run(replace(task, clip_norm=clip), Entry.of(torch.optim.LBFGS)).curve for clip in (None, 0.05)]
    assert closures[0] != closures[1]


def test_clipping_sparse_gradients_is_clipping_dense_ones() -> None:
    def embedding(sparse: bool) -> nn.Module:
        return nn.Sequential(nn.Embedding(5, 4, sparse=sparse), nn.Flatten(), nn.Linear(8, 2))

    rows = torch.randint(5, (64, 2), generator=torch.Generator().manual_seed(0)), Y[:64]
    found = [
        run(
            little.task(
                model=partial(embedding, sparse), train=rows, validation=rows, test=rows, metric="loss", clip_norm=0.1
            )
        )
        for sparse in (True, False)
    ]
    assert all(trial.done for trial in found)
    assert found[0].curve.validation_loss == pytest.approx(found[1].curve.validation_loss, rel=1e-6)


def test_clipping_leaves_the_curvature_of_second_order_methods_alone() -> None:
    entry = CATALOGUE["adahessian"]
    ours = run(little.task(model=plain, clip_norm=0.05, metric="loss"), entry)
    own = run(little.task(model=plain, metric="loss"), entry, clip_norm=0.05)
    assert ours.curve.validation_loss == pytest.approx(own.curve.validation_loss, rel=1e-5)
    assert ours.curve != run(little.task(model=plain, metric="loss"), entry).curve


def test_weight_decay_goes_to_those_who_have_it_in_their_own_way() -> None:
    task = little.task(model=plain, weight_decay=0.1, metric="loss")
    for kind in (torch.optim.Adam, torch.optim.AdamW):
        expected, _ = by_hand(task, partial(kind, lr=0.1, weight_decay=0.1))
        assert run(task, Entry.of(kind)).curve.validation_loss == expected
    own, _ = by_hand(task, partial(torch.optim.Adam, lr=0.1, weight_decay=0.02))
    assert run(task, ADAM, weight_decay=0.02).curve.validation_loss == own  # the trial's setting has the last word
    assert run(task, Entry.of(torch.optim.Rprop)).done
    spec = describe("compare", task, None, 3, [ADAM, Entry.of(torch.optim.Rprop)], asdict(Protocol.of("quick")))
    assert spec["task"]["training"] == {"weight_decay": 0.1, "without_weight_decay": ["torch.Rprop"]}
    assert "Without weight decay, as they have no such setting: torch.Rprop." in _run_notes(spec)


def test_l2_is_in_the_gradient_and_not_in_the_reported_loss() -> None:
    task = little.task(model=plain, l2=0.1, metric="loss")
    penalty = lambda model: 0.05 * sum(p.square().sum() for p in model.parameters())  # noqa: E731
    expected, _ = by_hand(task, partial(torch.optim.AdamW, lr=0.1, weight_decay=0), penalty=penalty)
    found = run(task, Entry.of(torch.optim.AdamW), weight_decay=0)
    assert found.curve.validation_loss == pytest.approx(expected, rel=1e-5)
    # For plain gradient descent it is the coupled decay.
    coupled = run(little.task(model=plain, metric="loss"), weight_decay=0.1)
    assert run(task).curve.validation_loss == pytest.approx(coupled.curve.validation_loss, rel=1e-5)
    still = run(task, lr=0.0)
    assert still.curve == run(replace(task, l2=None), lr=0.0).curve


def test_steps_are_spread_over_passes_and_evaluations() -> None:
    """Ten steps of four a pass, evaluated three times; more evaluations than steps are one a step."""
    task = little.task(steps=10, epochs=3)
    assert run(task).curve.steps == [3, 7, 10]
    assert run(replace(task, epochs=20)).curve.steps == list(range(1, 11))
    assert run(replace(task, steps=12)).curve.steps == [4, 8, 12]
    assert run(replace(task, steps=12)).curve == run(little.task(epochs=3)).curve
    batches = [batch[0] for group in rounds(task, 0, 3) for batch in group]
    first, second = torch.cat(batches[:4]), torch.cat(batches[4:8])
    assert not torch.equal(first, second)
    assert torch.equal(first.sort(0).values, second.sort(0).values)


def test_steps_of_data_without_batches() -> None:
    empty = DataLoader(TensorDataset(X[:4], Y[:4]), 8, drop_last=True)
    found = run(little.task(train=empty, steps=3))
    assert found.message == "TaskError: train: gave no batch; must hold at least one"


def scripted(values: list[float], **changes: Any) -> Task:
    """A task whose validation metric is written beforehand; its test metric is the model's only number."""
    asked: Iterator[float] = iter(values)

    def metric(model: nn.Module, batch: Any) -> float:
        return next(asked) if len(batch[0]) == 64 else model.bias.item()

    def loss(model: nn.Module, batch: Any) -> torch.Tensor:
        return -model.bias.sum()

    class Counter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias = nn.Parameter(torch.zeros(1))

    settings = {"metric": metric, "direction": "max", "epochs": 8, "patience": 2, "test": little.rows(32, 2)}
    return little.task(model=Counter, loss=loss, **{**settings, **changes})


def test_patience_ends_a_training_and_the_best_epoch_counts() -> None:
    """Each epoch adds 4 steps of 0.1 to the model's number: the test metric tells whose weights were read."""
    found = run(scripted([0.1, 0.5, 0.5, 0.4, 0.9]), phase="final")
    assert found.curve.validation_metric == [0.1, 0.5, 0.5, 0.4]  # equal is not better
    assert (found.best, found.stopped, found.metric) == (1, True, 0.5)
    assert found.loss == found.curve.validation_loss[1]
    assert found.test_metric == pytest.approx(0.8)
    down = run(scripted([0.5, 0.1, 0.2, 0.05, 0.3, 0.3], direction="min", patience=2), phase="final")
    assert (down.best, down.metric, len(down.curve.steps)) == (3, 0.05, 6)


def test_patience_to_the_end() -> None:
    found = run(scripted([0.1, 0.9, 0.3], epochs=3), phase="final")
    assert (found.best, found.stopped, found.metric) == (1, False, 0.9)
    assert found.test_metric == pytest.approx(0.8)
    stopped_at_the_end = run(scripted([0.9, 0.1, 0.3], epochs=3))
    assert (stopped_at_the_end.best, stopped_at_the_end.stopped) == (0, False)
    without = run(scripted([0.1, 0.9, 0.3], epochs=3, patience=None), phase="final")
    assert (without.best, without.stopped, without.metric) == (None, False, 0.3)
    assert without.test_metric == pytest.approx(1.2)


def test_patience_never_takes_nan_for_better() -> None:
    found = run(scripted([0.5, math.nan, math.nan, 0.9]))
    assert (found.status, found.best, found.metric) == ("done", 0, 0.5)
    lost_trial = run(scripted([math.nan, math.nan, 0.9]))
    assert lost_trial.status == "no number" and len(lost_trial.curve.steps) == 2
    patience = EarlyStopping(2, larger_is_better=False)
    assert [patience.see(value) for value in (math.nan, 0.5, 0.6, 0.4)] == [False, True, False, True]


class Noted(nn.Module):
    """Keeps what it is shown while training."""

    def __init__(self, seen: list[torch.Tensor], dropout: float = 0.0) -> None:
        super().__init__()
        self.layer, self.dropout = nn.Linear(2, 2), nn.Dropout(dropout)
        self.seen = seen

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.seen.append(x.clone())
            random.seed(random.random() + self.dropout.p)
        return self.dropout(self.layer(x))


def jitter(batch: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    candidates, labels = batch
    return candidates + torch.randn_like(candidates), labels


def test_augmentation_depends_on_the_seed_and_the_step_alone() -> None:
    shown: dict[str, list[torch.Tensor]] = {"sgd": [], "adam with dropout": [], "other seed": [], "none": []}
    task = little.task(model=lambda: Noted(shown["sgd"]), augment=jitter)
    found = run(task)
    run(replace(task, model=lambda: Noted(shown["adam with dropout"], 0.5)), ADAM)
    run(replace(task, model=lambda: Noted(shown["other seed"])), seed=1)
    run(replace(task, model=lambda: Noted(shown["none"]), augment=None))
    first = torch.stack(shown["sgd"])
    assert torch.equal(first, torch.stack(shown["adam with dropout"]))
    assert not torch.equal(first, torch.stack(shown["other seed"]))
    noise = first - torch.stack(shown["none"])
    assert noise.std().item() == pytest.approx(1, rel=0.1)
    assert len({float(value) for value in noise[:, 0, 0]}) == len(noise)  # drawn anew at each step
    assert found.curve.steps == [4, 8, 12]


def test_augmentation_is_for_training_alone() -> None:
    task = little.task(model=plain, augment=lambda batch: (batch[0] * 0 + 7, batch[1]))
    assert run(task, lr=0.0).curve.validation_loss == run(replace(task, augment=None), lr=0.0).curve.validation_loss


class Random(Dataset[Any]):
    """Draws random numbers for each item, as datasets that augment do."""

    def __len__(self) -> int:
        return 128

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return X[index] + torch.randn(2) + random.random(), Y[index]


@pytest.mark.parametrize("loader", [False, True])
def test_what_a_dataset_draws_does_not_depend_on_what_the_model_draws(loader: bool) -> None:
    data: Any = DataLoader(Random(), 32, shuffle=True) if loader else Random()
    shown: list[list[torch.Tensor]] = [[], []]
    for dropout, seen in zip((0.0, 0.5), shown, strict=True):
        run(little.task(model=lambda d=dropout, s=seen: Noted(s, d), train=data))
    assert torch.equal(torch.stack(shown[0]), torch.stack(shown[1]))
    assert not torch.equal(shown[0][0], shown[0][4])


WRONG = {
    "steps: got 0; must be a whole number of at least 1, or None": {"steps": 0},
    "patience: got 2.5; must be a whole number of at least 1, or None": {"patience": 2.5},
    "clip_norm: got 0; must be a number > 0, or None": {"clip_norm": 0},
    "weight_decay: got -1; must be a number >= 0, or None": {"weight_decay": -1},
    "l2: got nan; must be a number >= 0": {"l2": math.nan},
    "l2: got '1'; must be a number >= 0": {"l2": "1"},
    "schedule: got 'cosine'; must be a function, or None": {"schedule": "cosine"},
    "augment: got 3; must be a function, or None": {"augment": 3},
    'schedule_every: got \'batch\'; must be "step" or "epoch"': {"schedule_every": "batch"},
}


@pytest.mark.parametrize("message", WRONG)
def test_a_wrong_argument(message: str) -> None:
    with pytest.raises(TaskError, match=message):
        little.task(**WRONG[message])


def test_an_augmentation_that_gives_nothing_back_is_refused() -> None:
    with pytest.raises(TaskError, match="augment: returned None; must return the batch to train on"):
        little.task(augment=lambda batch: None).check()


def cosine(optimizer: torch.optim.Optimizer, steps: int, floor: float = 0.0) -> Any:
    return lr_scheduler.CosineAnnealingLR(optimizer, steps, floor)


def test_identity_covers_how_a_task_is_trained() -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"steps": 8},
        {"steps": 9},
        {"schedule": cosine},
        {"schedule": cosine, "schedule_every": "epoch"},
        {"schedule": partial(cosine, floor=0.1)},
        {"patience": 1},
        {"augment": jitter},
        {"augment": lambda batch: batch},
        {"clip_norm": 1.0},
        {"weight_decay": 1.0},
        {"l2": 1.0},
    ]
    assert len({little.task(**change).identity() for change in changes}) == len(changes)
    assert little.task(about="words", usual_time="1 s").identity() == little.task().identity()
    assert len({little.task(augment=jitter_by(size)).identity() for size in (1.0, 2.0)}) == 2


def jitter_by(size: float) -> Callable[[Any], Any]:
    return lambda batch: (batch[0] * size, batch[1])


class Listed(Dataset[Any]):
    def __init__(self, values: torch.Tensor) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"x": self.values[index].numpy(), "text": [str(index)], "y": int(Y[index])}


def test_identity_sees_other_items_of_a_dataset() -> None:
    def identity(values: torch.Tensor, loader: bool) -> str:
        data: Any = DataLoader(Listed(values), 8) if loader else Listed(values)
        return little.task(train=data).identity()

    moved = X.clone()
    moved[-1] += 1
    for loader in (False, True):
        assert identity(X, loader) == identity(X.clone(), loader) != identity(moved, loader)


def test_identity_leaves_out_what_is_never_the_same() -> None:
    class Unsteady(Listed):
        asked: ClassVar[list[int]] = []

        def __getitem__(self, index: int) -> Any:
            self.asked.append(index)
            return len(self.asked)

    assert little.task(train=Unsteady(X)).identity() == little.task(train=Unsteady(X)).identity()
    state = torch.get_rng_state()
    assert little.task(train=Random()).identity() == little.task(train=Random()).identity()
    assert torch.equal(state, torch.get_rng_state())
