"""A task's groups, precision, accumulated batches, compiled model, folds and device, and what each does to a run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import asking
import little
import pytest
import torch
from torch import nn

from thalweg import optim
from thalweg.catalogue import Entry
from thalweg.lab.errors import LabError, TaskError
from thalweg.lab.runners.lanes.refusal import CannotRide
from thalweg.lab.runners.lanes.stacked_runs import StackedRuns
from thalweg.lab.study.optimizers import check_fit, paste
from thalweg.lab.task.task import Task
from thalweg.lab.training.batches import rounds
from thalweg.lab.training.loop import run_trial
from thalweg.lab.training.run import Run

DATA = (torch.randn(24, 3, generator=torch.Generator().manual_seed(0)), torch.arange(24.0)[:, None])


class Seen(torch.optim.SGD):
    """Keeps what it was made with, and the gradients of each step."""

    made: ClassVar[list[Any]] = []

    def __init__(self, params, lr=0.1, weight_decay=0.0):
        super().__init__(params, lr=lr, weight_decay=weight_decay)
        self.gradients = []
        Seen.made.append(self)

    def step(self, closure=None):
        loss = closure() if closure else None
        self.gradients.append([p.grad.clone() for group in self.param_groups for p in group["params"]])
        super().step()
        return loss


def task(**more):
    given = {"model": lambda: nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1)), "loss": nn.MSELoss(), "train": DATA,
             "test": 0.25, "batch_size": 6, "epochs": 2, "name": "fields", **more}  # fmt: skip
    return Task(**given)


def trained(own, rate=0.01, seed=0):
    """A run's trial and its optimizer."""
    Seen.made.clear()
    (job,) = asking.jobs([Seen], rates=[rate], seeds=1, epochs=2)
    job = replace(job, setting=replace(job.setting, seed=seed))
    trial = run_trial(own, job)
    assert trial.done, trial.message
    return trial, Seen.made[0]


def groups_of(model):
    first, last = model
    return [{"params": first.parameters(), "lr": 1.0}, {"params": last.parameters(), "lr": 0.1, "weight_decay": 0.5}]


def test_groups_keep_their_ratio_at_each_rate():
    _, made = trained(task(groups=groups_of), rate=0.02)
    assert [group["lr"] for group in made.param_groups] == pytest.approx([0.02, 0.002])
    assert [group["weight_decay"] for group in made.param_groups] == [0.0, 0.5]


def test_groups_by_roles():
    _, made = trained(task(groups=lambda model: optim.groups(model, weight_decay=0.5)))
    assert [group["weight_decay"] for group in made.param_groups] == [0.5, 0.0, 0.5]


def test_groups_are_in_the_line():
    spec = {"task": {"batch_size": 6, "training": task(groups=groups_of).describe_run()}, "protocol": {},
            "optimizers": {"sgd": {"class": "SGD", "settings": {}, "lr": {}}}}  # fmt: skip
    spec["optimizers"]["sgd"] = {"class": "Seen", "module": "x", "settings": {}}
    assert paste(spec, "sgd", {"lr": 0.1}) == "x.Seen(groups_of(model), lr=0.1)  # with batch_size=6"


def test_who_makes_its_own_groups_is_refused():
    with pytest.raises(LabError, match="muon_adamw: makes its own parameter groups"):
        check_fit(task(groups=groups_of), [Entry.of("muon_adamw")])


def test_accumulated_batches_are_one_larger_batch():
    own = task(accumulate=3, batch_size=2, validation=0.25)
    large = replace(own, accumulate=1, batch_size=6)
    (few, one), (_, other) = trained(own), trained(large)
    assert few.steps == 4 and len(one.gradients) == 4  # 12 rows, 2 passes
    for mine, theirs in zip(one.gradients, other.gradients, strict=True):
        for a, b in zip(mine, theirs, strict=True):
            torch.testing.assert_close(a, b)
    assert [len(step) for step in next(rounds(replace(own, batch_size=5), 0, 1))] == [3]  # the last may be smaller


def test_half_precision_is_autocast():
    dtypes = []

    class Told(nn.Linear):
        def forward(self, x):
            out = super().forward(x)
            dtypes.append(out.dtype)
            return out

    def metric(output, target):
        return float(output.detach().numpy().mean())  # which NumPy has no bfloat16 for

    own = task(model=lambda: Told(3, 1), precision="bf16", metric=metric, direction="min")
    trial, made = trained(own)
    assert set(dtypes) == {torch.bfloat16} and made.gradients[0][0].dtype == torch.float32
    assert trial.done


def test_float16_is_scaled_and_a_step_that_overflows_is_left_out():
    def loss(output, target):
        return nn.functional.mse_loss(output.float(), target / 24)

    trial, made = trained(task(precision="fp16", loss=loss))
    _, plain = trained(task(loss=loss))
    assert trial.steps == 6 and 0 < len(made.gradients) < 6  # the scale is too large at first
    norms = [sum(float(g.norm()) for g in run.gradients[0]) for run in (made, plain)]
    assert 0.2 < norms[0] / norms[1] < 5  # unscaled before the step


def test_a_model_is_compiled(monkeypatch):
    asked = []
    monkeypatch.setattr(nn.Module, "compile", lambda self, **more: asked.append((type(self).__name__, more)))
    trained(task(compile=True))
    assert ("Sequential", {}) in asked
    asked.clear()
    task(compile="eager").build(0)
    assert asked == [("Sequential", {"backend": "eager"})]


def test_folds_take_turns():
    own = task(folds=3)
    held = [own.with_fold(number).sources for number in range(3)]
    rows = [{float(row) for row in part["validation"].tensors[1]} for part in held]
    assert [len(one) for one in rows] == [6, 6, 6] and len(set.union(*rows)) == 18
    assert all(
        {float(row) for row in part["train"].tensors[1]}.isdisjoint(mine) for part, mine in zip(held, rows, strict=True)
    )
    assert len({frozenset(float(row) for row in part["test"].tensors[1]) for part in held}) == 1
    (job,) = asking.jobs(["sgd"], rates=[0.1], seeds=1)
    for seed in (1, 4):  # a run's seed chooses
        adapted = replace(job, setting=replace(job.setting, seed=seed)).adapt(own)
        assert torch.equal(adapted.sources["validation"].tensors[1], held[1]["validation"].tensors[1])
    assert "one of 3 folds" in own.describe_data()["validation"]


def test_the_device_that_is_there():
    assert task(device="auto").device == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize(
    "more", [{"groups": groups_of}, {"precision": "bf16"}, {"accumulate": 2}, {"compile": True}, {"folds": 3}]
)
def test_lanes_say_why_not_and_the_identity_knows(more, monkeypatch):
    monkeypatch.setattr(nn.Module, "compile", lambda self: None)
    with pytest.raises(CannotRide, match=f"the task has {next(iter(more))}"):
        StackedRuns(task(**more), asking.jobs(["sgd"], seeds=1))
    assert task(**more).identity() != task().identity()


def test_what_they_do_not_ask_for_leaves_no_trace():
    assert little.task().describe_run() == {}
    assert isinstance(Run(task(), asking.jobs(["sgd"], seeds=1)[0]), Run)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"precision": "half"}, "precision: got 'half'; must be bf16, fp16, or None"),
        ({"accumulate": 0}, "accumulate: got 0"),
        ({"compile": 3}, "compile: got 3"),
        ({"folds": 1}, "folds: got 1; must be at least 2"),
        ({"folds": 3, "validation": DATA}, "folds: got 3; must be at least 2, and no validation data given"),
        ({"groups": 3}, "groups: got 3; must be a function"),
        ({"folds": 100}, "folds=100: must be at most the 18 rows"),
    ],
)
def test_what_is_refused(more, said):
    with pytest.raises(TaskError, match=said):
        task(**more)


def test_groups_that_are_none_are_told_before_anything_runs():
    with pytest.raises(TaskError, match="groups: must return parameter groups"):
        task(groups=lambda model: model.parameters()).check()
