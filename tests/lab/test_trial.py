"""One trial: seeds fix everything, the caller's state stays, what goes wrong is written down."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import little
import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from thalweg.catalogue import CATALOGUE, Entry
from thalweg.lab.errors import TaskError
from thalweg.lab.task.task import Task
from thalweg.lab.training.divergence import OF_MEDIAN, Diverged, DivergenceMonitor
from thalweg.lab.training.job import Job
from thalweg.lab.training.loop import run_trial
from thalweg.lab.training.trial import Configuration, Status, Trial

SGD, ADAM = Entry.of(torch.optim.SGD), Entry.of(torch.optim.Adam)


def run(task: Task, entry: Entry = SGD, lr: float = 0.1, seed: int = 0, phase: str = "search") -> Trial:
    return run_trial(task, Job("x", phase, 0, entry, Configuration(entry.name, {"lr": lr}, seed), task.epochs))


def same(one: Trial, other: Trial) -> bool:
    return replace(one, seconds=0, started=0) == replace(other, seconds=0, started=0)


LOADERS = {
    "tensors": lambda: little.rows(128, 0),
    "loader": lambda: DataLoader(TensorDataset(*little.rows(128, 0)), 32, shuffle=True),
    "seeded loader": lambda: DataLoader(
        TensorDataset(*little.rows(128, 0)), 32, shuffle=True, generator=torch.Generator().manual_seed(5)
    ),
}


@pytest.mark.parametrize("kind", LOADERS)
def test_the_same_trial_twice_is_the_same_to_the_bit(kind: str) -> None:
    task = little.task(train=LOADERS[kind]())
    first = run(task)
    torch.rand(17), random.random(), np.random.rand()
    assert same(first, run(task))
    assert not same(first, run(task, seed=1))


def test_seeds_pair_optimizers() -> None:
    """Two optimizers with a learning rate of zero are one run: initialization, order and dropout agree."""
    task = little.task()
    sgd, adam = run(task, SGD, lr=0.0), run(task, ADAM, lr=0.0)
    assert sgd.curve == adam.curve
    assert run(task, SGD, lr=0.0, seed=1).curve != sgd.curve


def test_data_order_changes_by_epoch_and_by_seed() -> None:
    orders: list[list[float]] = []

    class Spy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.training:
                orders[-1].extend(x[:, 0].tolist())
            return self.layer(x)

    task = little.task(model=Spy, epochs=2)
    for seed in (0, 0, 1):
        orders.append([])
        run(task, seed=seed)
    assert orders[0] == orders[1] != orders[2]
    assert orders[0][:128] != orders[0][128:] and sorted(orders[0][:128]) == sorted(orders[0][128:])


@pytest.mark.parametrize("kind", LOADERS)
def test_the_callers_random_state_and_threads_stay(kind: str) -> None:
    loader = LOADERS[kind]()
    before = (
        torch.get_rng_state(),
        random.getstate(),
        np.random.get_state()[1].tolist(),
        torch.get_num_threads(),
    )
    own = loader.generator.get_state() if getattr(loader, "generator", None) else None
    task = little.task(train=loader)
    task.check()
    run(task, phase="final")
    after = (
        torch.get_rng_state(),
        random.getstate(),
        np.random.get_state()[1].tolist(),
        torch.get_num_threads(),
    )
    assert torch.equal(before[0], after[0]) and before[1:] == after[1:]
    assert own is None or torch.equal(own, loader.generator.get_state())


def test_a_curve_of_each_epoch_and_the_test_set_for_finalists_only() -> None:
    found, final = run(little.task()), run(little.task(), phase="final")
    assert found.done and found.curve.steps == [4, 8, 12] and found.steps == 12
    assert found.test_metric is None and final.test_metric is not None
    assert found.curve == final.curve
    assert found.metric == found.curve.validation_metric[-1]


def test_training_matches_a_loop_written_by_hand() -> None:
    task = little.task(model=lambda: nn.Linear(2, 2), epochs=1, batch_size=128, loss=nn.CrossEntropyLoss())
    model = task.build(0)
    candidates, labels = little.rows(128, 0)
    nn.functional.cross_entropy(model(candidates), labels).backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= 0.1 * parameter.grad
        expected = nn.functional.cross_entropy(model(little.rows(64, 1)[0]), little.rows(64, 1)[1]).item()
    assert run(task).loss == pytest.approx(expected, rel=1e-5)


def test_steps_to_target() -> None:
    found = run(little.task(), ADAM, lr=0.05)
    best = max(found.curve.validation_metric)
    first = found.curve.validation_metric.index(best)
    assert found.steps_to(best, True) == found.curve.steps[first]
    assert found.steps_to(2.0, True) == math.inf
    assert found.steps_to(-1.0, False) == math.inf


def test_a_nan_loss_is_divergence() -> None:
    calls: list[int] = []

    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return nn.functional.cross_entropy(output, target) * (math.nan if len(calls) == 3 else 1.0)

    found = run(little.task(loss=loss))
    assert (found.status, found.message) == ("diverged", "training loss is nan at step 3")
    assert math.isnan(found.metric) and found.test_metric is None and len(calls) == 3


def test_a_huge_learning_rate_diverges() -> None:
    found = run(little.task(loss=lambda output, target: ((output - 1) ** 2).mean()), lr=1e4)
    assert found.status == "diverged" and math.isnan(found.loss)


def test_an_exception_is_recorded_with_its_message() -> None:
    class Breaks(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("out of memory")

    found = run(little.task(model=lambda: Breaks(2, 2)))
    assert (found.status, found.message, found.steps) == ("out of memory", "RuntimeError: out of memory", 0)


def test_a_loss_that_stops_being_a_scalar_crashes_the_trial() -> None:
    found = run(little.task(loss=nn.CrossEntropyLoss(reduction="none")))
    assert found.status == "crashed" and "loss: returned a tensor of shape (32,)" in str(found.message)


def test_ctrl_c_is_not_a_crash() -> None:
    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(little.task(loss=loss))


def test_an_optimizer_that_needs_a_closure_trains() -> None:
    assert run(little.task(), Entry.of(torch.optim.LBFGS), lr=0.1).done


def watch(losses: Any) -> int | None:
    seen = DivergenceMonitor()
    for place, loss in enumerate(losses):
        try:
            seen.see(loss)
        except Diverged:
            return place
    return None


def test_the_watch_ends_what_has_diverged_and_nothing_else() -> None:
    falling = [2.0 * 0.9**i for i in range(100)]
    assert watch(falling) is None
    assert watch([*falling, *[1.0] * 3]) is None  # three bad batches are smoothed away
    assert watch([*falling[:20], *[50.0] * 16]) is not None
    assert watch([-3.0 + 0.01 * i for i in range(50)]) is None and watch([-3.0] * 5 + [30.0] * 40) is not None
    assert watch([1.3**i for i in range(32)]) is not None  # growth is no spread
    assert watch([*[1e-5 * x for x in falling], *[1e-4] * 64]) is not None  # no constant is the limit
    assert watch([2.0, *[1e-6] * 50, 1e-4, 1e-4, 0.01]) is None  # noise near zero
    assert watch([1.0, math.inf]) == 1


def test_an_optimizer_with_modes_is_judged_in_eval_mode() -> None:
    """Schedule-Free's parameters are its result in eval mode alone: here they are 0 while training."""

    class Hidden(torch.optim.SGD):
        def train(self) -> None:
            self.swap()

        def eval(self) -> None:
            self.swap()

        @torch.no_grad()
        def swap(self) -> None:
            for p in self.param_groups[0]["params"]:
                shown, self.state[p]["hidden"] = self.state[p].get("hidden", torch.zeros_like(p)), p.clone()
                p.copy_(shown)

    hidden = Entry("hidden", Hidden)
    task = little.task(epochs=1)
    trained, plain = run(task, hidden, lr=0.0, phase="final"), run(task, SGD, lr=0.0, phase="final")
    assert trained.curve.validation_loss == plain.curve.validation_loss
    assert trained.test_loss == plain.test_loss
    assert trained.curve.train_loss != plain.curve.train_loss


def test_an_optimizer_that_needs_the_gradients_graph_has_it() -> None:
    assert run(little.task(), Entry.of("adahessian"), lr=0.01).status == "done"


def claims(seed: int, share: float) -> list[float]:
    """Losses of a regression on claims of a share of the rows: Pareto(1.6), squared, the mean of 32 rows."""
    draw = np.random.default_rng(seed)
    sizes = np.where(draw.random((3000, 32)) < share, 1 + draw.pareto(1.6, (3000, 32)), 0.0)
    return [float(loss) + 0.01 for loss in (sizes**2).mean(1)]


def test_a_medians_standard_error_by_a_means() -> None:
    draws = np.random.default_rng(0).standard_normal((20_000, 128))
    assert np.std(np.median(draws, 1)) / np.std(draws.mean(1)) == pytest.approx(OF_MEDIAN, rel=0.02)


@pytest.mark.parametrize("share", [0.002, 0.05, 0.5])
def test_rare_large_batches_are_no_divergence(share: float) -> None:
    assert [seed for seed in range(8) if watch(claims(seed, share)) is not None] == []


def test_a_regression_with_large_claims_lives_at_every_usual_rate() -> None:
    """The first rule ("4 x the best smoothed loss") ended 12 of 12 of these."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(2000, 8, generator=draw)
    large = torch.rand(2000, 1, generator=draw) < 0.05
    y = torch.where(large, (1 - torch.rand(2000, 1, generator=draw)) ** (-1 / 1.6), torch.zeros(()))
    task = Task(model=lambda: nn.Linear(8, 1), loss=nn.MSELoss(), train=(x, y), batch_size=32, epochs=4, name="claims")
    for name in ("sgd", "adam"):
        for rate in (1e-4, 1e-3, 1e-2):
            assert run(task, CATALOGUE[name], lr=rate).done, (name, rate)


def test_noise_in_what_is_reported_changes_no_survivor() -> None:
    """Equal gradients, other numbers beside them: the same runs end, and the same live."""
    draw = torch.Generator().manual_seed(1)

    def noisy(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        loss = nn.functional.mse_loss(output, target)
        return loss + (3 * torch.rand((), generator=draw) - 1.5)

    x = torch.randn(400, 3, generator=torch.Generator().manual_seed(2))
    plain, other = (
        Task(model=lambda: nn.Linear(3, 1), loss=loss, train=(x, x.sum(1, keepdim=True)), epochs=8, name="noise")
        for loss in (nn.MSELoss(), noisy)
    )
    for rate in (1e-3, 1e-1, 0.5, 3.0, 100.0):
        assert run(plain, SGD, lr=rate).done == run(other, SGD, lr=rate).done, rate


def test_the_rule_can_be_set_and_switched_off() -> None:
    steps = [1.0] * 8 + [30.0] * 100
    assert any_of(DivergenceMonitor(None), steps) is None and any_of(DivergenceMonitor(100.0), steps) is None
    assert any_of(DivergenceMonitor(), steps) is not None
    with pytest.raises(TaskError, match="divergence: got 0"):
        little.task(divergence=0)
    assert little.task(divergence=None).describe_run() == {"divergence": "none"}
    assert little.task().describe_run() == {}


def any_of(monitor: DivergenceMonitor, losses: list[float]) -> int | None:
    for place, loss in enumerate(losses):
        try:
            monitor.see(loss)
        except Diverged:
            return place
    return None


def test_a_nan_metric_is_not_divergence() -> None:
    found = run(little.task(metric=lambda output, target: math.nan, direction="max"))
    assert (found.status, found.curve.validation_loss[-1] > 0) == (Status.NOT_A_NUMBER, True)
    assert "the loss is" in str(found.message)
