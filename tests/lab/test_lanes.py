"""Runs side by side give what each gives alone, whoever the neighbors are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import little
import pytest
import torch
from torch import nn

from thalweg.catalogue import Entry
from thalweg.lab.runners.alone import Alone
from thalweg.lab.runners.lanes import stack, vmapped
from thalweg.lab.runners.lanes.pooling import by_two
from thalweg.lab.runners.lanes.runner import Lanes
from thalweg.lab.task.task import Task
from thalweg.lab.training.job import Job
from thalweg.lab.training.trial import Configuration, Trial

pytestmark = pytest.mark.usefixtures("one_thread")


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
    "perceptron": lambda **changes: little.task(**{"epochs": 2, **changes}),
    "convolutions": lambda **changes: task_of(Convolutions, images, **changes),
    "attention": lambda **changes: task_of(Attention, words, **changes),
}


def job(name: str | int, entry: Any, seed: int = 0, phase: str = "search", epochs: int = 2, **settings: Any) -> Job:
    found = Entry.of(entry)
    size = settings.pop("batch_size", None)
    return Job(str(name), phase, 0, found, Configuration(found.name, settings, seed, size), epochs)


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
    runner = Lanes(lanes, least=1)
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


@pytest.mark.parametrize("size", [(6, 6), (5, 7)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pooling_is_torchs_to_the_bit(size: tuple[int, int], dtype: torch.dtype) -> None:
    """Equal elements, NaN and infinity, edges that are left over."""
    x = torch.randn(3, 2, 4, *size, dtype=dtype, generator=torch.Generator().manual_seed(0)).relu()
    x[0, 0, 0, 0, :2], x[1, 1, 3, 0] = math.nan, math.inf
    for ours, theirs in zip(pooled(x), alone(x), strict=True):
        assert torch.equal(ours.nan_to_num(7.0), theirs.nan_to_num(7.0))


def pooled(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    x = x.clone().requires_grad_()
    with vmapped.level(len(x)):
        out = by_two(len(x), vmapped.lane(x), 2)
        assert out is not None
        out = vmapped.lanes_first(out, len(x))
    return out.detach(), torch.autograd.grad(out, x, torch.arange(out.numel(), dtype=x.dtype).view(out.shape))[0]


def alone(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    x = x.clone().requires_grad_()
    out = nn.functional.max_pool2d(x.flatten(0, 1), 2).unflatten(0, x.shape[:2])
    return out.detach(), torch.autograd.grad(out, x, torch.arange(out.numel(), dtype=x.dtype).view(out.shape))[0]


@pytest.mark.apart
def test_every_rule_rides_or_says_why() -> None:
    from thalweg.catalogue import CATALOGUE

    jobs = [job(name, name, epochs=1) for name, entry in CATALOGUE.items() if entry.takes_dense and entry.takes_all]
    jobs.append(job("lbfgs", torch.optim.LBFGS, epochs=1))
    reasons = [
        "AdaHessian needs the gradients' graph for its curvature",
        "LBFGS re-evaluates the closure several times a step",
    ]
    check(TASKS["perceptron"](), jobs, 64, reasons)


def test_a_lane_that_diverges_leaves_its_neighbours_alone() -> None:
    """Among lanes of which one is NaN in the second step and one creeps away, the others are what they always are."""
    rates = {"fine": 0.05, "nan": 1e30, "far": 30.0, "small": 1e-4}
    jobs = [job(name, torch.optim.SGD, seed=1, lr=lr, phase="final", epochs=4) for name, lr in rates.items()]
    squares = little.task(loss=lambda output, target: ((output - 1) ** 2).mean(), epochs=4)
    found = check(squares, jobs)
    assert [found[name].status for name in rates] == ["done", "diverged", "diverged", "done"]
    assert "training loss is" in str(found["nan"].message) and "training loss" in str(found["far"].message)


def test_ended_lanes_are_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    select = stack.Stack.select

    def spy(self: stack.Stack, kept: Sequence[int]) -> None:
        sizes.append(len(kept))
        select(self, kept)

    monkeypatch.setattr(stack.Stack, "select", spy)
    jobs = [job(place, "momentum", seed=place % 2, lr=1e30 if place < 5 else 0.02) for place in range(12)]
    jobs += [job("adam", "adam", lr=0.01), job("torch", torch.optim.Adam, lr=0.01)]
    check(TASKS["convolutions"](), jobs, 16)
    assert sizes and sizes[-1] <= 10


def warm(optimizer: torch.optim.Optimizer, steps: int) -> Any:
    return torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=steps, cycle_momentum=False)


def plateau(optimizer: torch.optim.Optimizer, steps: int) -> Any:
    return torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "max", factor=0.1, patience=0)


def halving(optimizer: torch.optim.Optimizer, steps: int) -> Any:
    return torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)


def noisy(batch: Any) -> Any:
    return batch[0] + 0.1 * torch.randn_like(batch[0]), batch[1]


CHANGES = {
    "clip": {"clip_norm": 0.05},
    "one cycle": {"schedule": warm},
    "plateau": {"schedule": plateau, "epochs": 4},
    "by epoch": {"schedule": halving, "schedule_every": "epoch"},
    "patience": {"patience": 1, "epochs": 6},
    "augmentation": {"augment": noisy},
    "penalty and decay": {"l2": 0.1, "weight_decay": 0.1},
    "steps": {"steps": 13, "epochs": 3},
    "metric of outputs": {"metric": lambda output, target: output.argmax(1).ne(target).sum(), "direction": "min"},
    "metric of a model": {"metric": lambda model, batch: model(batch[0]).std(), "direction": "min"},
    "loss of a model": {"loss": lambda model, batch: nn.functional.cross_entropy(model(batch[0]), batch[1])},
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_task_asks_for_is_done_in_each_lane(change: str) -> None:
    task = TASKS["perceptron"](**{"epochs": 3, **CHANGES[change]})
    if change == "patience":
        task = little.task(**CHANGES[change], loss=lambda output, target: nn.functional.cross_entropy(output, target))
    rates = [0.3, 0.01, 0.1, 1.0]
    jobs = [
        job(f"{entry}{lr}", entry, seed=place % 2, phase=("final", "search")[place % 2], epochs=task.epochs, lr=lr)
        for place, lr in enumerate(rates)
        for entry in ("momentum", "adam", "schedule_free_sgd", torch.optim.Adam)
    ]
    found = check(task, jobs)
    if change == "patience":
        assert any(trial.stopped for trial in found.values()) and not all(trial.stopped for trial in found.values())


class Odd(nn.Module):
    """A weight that is used twice, one that is frozen, one that the loss does not reach, and a buffer that counts."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.idle = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)
        self.second.weight = self.first.weight
        self.first.bias.requires_grad_(False)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls.add_(1)
        return self.second(torch.tanh(self.first(x))) * (1 + 0.1 * self.calls)


def test_odd_models_ride() -> None:
    entries = ["adam", "momentum", "schedule_free_adamw", torch.optim.AdamW]
    check(little.task(model=Odd), [job(place, entry, seed=place % 2) for place, entry in enumerate(entries)])


def test_groups_are_of_one_size_and_one_goes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    made = stack.Stack.__init__

    def spy(self: stack.Stack, task: Task, models: Any, seeds: Sequence[int]) -> None:
        sizes.append(len(seeds))
        made(self, task, models, seeds)

    monkeypatch.setattr(stack.Stack, "__init__", spy)
    for count, expected in ((9, [5, 4]), (16, [8, 8]), (2, [2]), (1, [])):
        sizes.clear()
        jobs = [job(place, "sgd", lr=0.01 * (place + 1), epochs=1) for place in range(count)]
        assert len(list(Lanes(8).run(TASKS["perceptron"](), jobs))) == count and sizes == expected


def test_batch_sizes_ride_apart() -> None:
    jobs = [job(place, "adam", lr=0.01, batch_size=size) for place, size in enumerate([8, 8, 32, None, 8, None])]
    check(TASKS["perceptron"](), jobs)


def test_a_setting_that_is_refused_is_a_crash_of_its_own() -> None:
    found = check(TASKS["perceptron"](), [job("bad", "adam", lr=-1.0), job("good", "adam", lr=0.1)])
    assert found["bad"].status == "crashed" and found["good"].done


def test_a_decomposition_that_fails_ends_its_own_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its neighbors ride on, those of its own rule too."""
    whole = torch.linalg.eigh

    def failing(matrices: torch.Tensor) -> Any:
        if matrices.abs().max() > 1e6:
            raise torch.linalg.LinAlgError("did not converge")
        return whole(matrices)

    monkeypatch.setattr(torch.linalg, "eigh", failing)
    jobs = [job("bad", "shampoo", eps=1e8), job("good", "shampoo", lr=0.01), job("other", "adam", lr=0.01)]
    lanes = Lanes()
    found = {trial.id: trial for trial in lanes.run(TASKS["perceptron"](), jobs)}
    assert found["bad"].status == "crashed" and found["good"].done and found["other"].done and lanes.reasons == []


def test_a_dataset_and_a_loader_ride() -> None:
    """What they draw, they draw for each seed as alone."""

    class Jittered(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return 40

        def __getitem__(self, place: int) -> tuple[torch.Tensor, torch.Tensor]:
            candidate = torch.tensor([place / 40, 1.0]) + 0.1 * torch.randn(2)
            return candidate, torch.tensor(place % 2)

    for data in (Jittered(), torch.utils.data.DataLoader(Jittered(), 16, shuffle=True)):
        jobs = [job(place, "adam", seed=place % 2, lr=0.01 * (place + 1)) for place in range(4)]
        check(little.task(train=data, epochs=2), jobs)


def test_less_memory_means_fewer_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What had begun is begun anew; what had ended stays."""
    ask = stack.Stack.ask

    def limited(self: stack.Stack, *given: Any, **named: Any) -> Any:
        if len(self) > 3:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")
        return ask(self, *given, **named)

    monkeypatch.setattr(stack.Stack, "ask", limited)
    jobs = [job(place, "adam", lr=0.01 * (place + 1)) for place in range(8)]
    reasons = [
        "8 lanes need more memory than there is: 4 from here on",
        "4 lanes need more memory than there is: 2 from here on",
    ]
    check(TASKS["perceptron"](), jobs, 8, reasons)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell, self.out = nn.LSTM(2, 4, batch_first=True), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.cell(x.unsqueeze(1))[0][:, -1])


class Item(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = super().forward(x)
        return y * (1 + abs(y.mean().item()))


class Branch(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = super().forward(x)
        return y if y.mean() > 0 else -y


class Masked(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = super().forward(x)
        return y + y[y > 0].sum()


class Multinomial(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = super().forward(x)
        return y + torch.multinomial(y.detach().softmax(-1), 1)


REFUSED = {
    "LSTM is a recurrent layer": Recurrent,
    ".item()": lambda: Item(2, 2),
    "`if` of a tensor": lambda: Branch(2, 2),
    "boolean mask": lambda: Masked(2, 2),
    "random numbers": lambda: Multinomial(2, 2),
    "spectral_norm": lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(2, 2)),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_ride_goes_alone_and_says_why(reason: str) -> None:
    task = little.task(model=REFUSED[reason], epochs=1)
    jobs = [job(place, "adam", lr=0.01 * (place + 1), epochs=1) for place in range(3)]
    runner = Lanes()
    found = {trial.id: trial for trial in runner.run(task, jobs)}
    assert len(runner.reasons) == 1 and reason in runner.reasons[0]
    for trial in Alone().run(task, jobs):
        assert alike(found[trial.id], trial)


def test_the_callers_random_state_stays() -> None:
    before = torch.get_rng_state()
    for _ in Lanes(least=1).run(TASKS["perceptron"](), [job(0, "adam"), job(1, "sgd")]):
        assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(before, torch.get_rng_state())


def test_a_mean_over_lanes_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks above can fail: with the losses' mean in place of their sum each rate is divided by the lanes."""
    grad = torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda total, leaves, **named: grad(total / 2, leaves, **named))
    with pytest.raises(AssertionError):
        check(TASKS["perceptron"](), [job(0, "momentum", lr=0.1), job(1, "momentum", lr=0.2)])


def test_masks_that_depend_on_the_neighbours_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from thalweg.lab.runners.lanes.forward import Streams

    given = Streams._given
    monkeypatch.setattr(Streams, "_given", lambda self, made, shape: given(self, made.flip(0), shape))
    with pytest.raises(AssertionError):
        check(TASKS["perceptron"](), [job(0, "momentum", seed=0), job(1, "momentum", seed=1)])
