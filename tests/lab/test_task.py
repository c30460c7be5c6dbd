"""Every way a task can be wrong gives one clear error that names the argument and what is allowed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import little
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from thalweg.lab.errors import TaskError
from thalweg.lab.task.evaluation import evaluate
from thalweg.lab.task.load import load_task
from thalweg.lab.task.task import Task

X, Y = little.rows(32, 0)


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter(zip(X, Y, strict=True))


WRONG = {
    "model: got a Linear that is already built; must be a function": {"model": nn.Linear(2, 2)},
    "model: got 3; must be a function": {"model": 3},
    "loss: got None; must be a function": {"loss": None},
    "epochs: got 0; must be a whole number of at least 1": {"epochs": 0},
    "epochs: got 1.5; must": {"epochs": 1.5},
    "batch_size: got True; must": {"batch_size": True},
    'metric: got \'f1\'; must be "accuracy", "loss" or a function': {"metric": "f1"},
    'direction: got None; must be "max" or "min" when the metric': {"metric": lambda output, target: 0.0},
    'direction: got \'up\'; must be "max" or "min"': {"direction": "up"},
    "margin: got -1; must be": {"margin": -1},
    "train: got NoneType; must be a tuple of tensors": {"train": None},
    "train: tensors of 32 and 31 rows; must": {"train": (X, Y[:31])},
    "train: has no rows": {"train": (X[:0], Y[:0])},
    "validation: got 1.5; a share must lie between 0 and 1": {"validation": 1.5},
    "validation: got a list of list, int; must be": {"validation": [[1], 2]},
    "validation and test: got .*; must leave rows": {"validation": 0.5, "test": 0.5},
    "validation=0.2: a share cannot be split off a DataLoader": {
        "train": DataLoader(TensorDataset(X, Y), 8),
        "validation": 0.2,
    },
    "test: a Dataset without a length; put it in a DataLoader": {"test": Stream()},
    "validation=0.01: no row is left": {"train": (X, Y), "validation": 0.01},
}


@pytest.mark.parametrize("message", WRONG)
def test_a_wrong_argument(message: str) -> None:
    with pytest.raises(TaskError, match=message):
        little.task(**WRONG[message])


CHECKED = {
    r"loss: returned a tensor of shape \(32, 2\)|loss: returned a tensor of shape \(32,\)": {
        "loss": nn.CrossEntropyLoss(reduction="none")
    },
    "loss: returned float; must be a scalar": {"loss": lambda output, target: 1.0},
    "loss: returned a tensor of torch.int64": {"loss": lambda output, target: target.sum()},
    "loss: returned a tensor without a gradient": {"loss": lambda output, target: output.detach().mean()},
    "loss: is nan on the first batch": {"loss": lambda output, target: output.mean() * float("nan")},
    "loss: raised ZeroDivisionError: ": {"loss": lambda output, target: output.mean() + 1 // 0},
    "loss: a batch is tuple, not .inputs..., target.; must be a function whose first": {"train": (X,)},
    "model: returned int; must return an nn.Module": {"model": lambda: 3},
    "model: raised RuntimeError: no": {"model": lambda: (_ for _ in ()).throw(RuntimeError("no"))},
    "model: Identity has no parameters to train": {"model": nn.Identity},
    "train: gave no batch": {"train": DataLoader(TensorDataset(X[:4], Y[:4]), 8, drop_last=True)},
}


@pytest.mark.parametrize("message", CHECKED)
def test_what_shows_when_a_batch_is_tried(message: str) -> None:
    with pytest.raises(TaskError, match=message):
        little.task(**CHECKED[message]).check()


def test_both_loss_conventions_agree() -> None:
    plain = little.task()
    whole = little.task(loss=lambda model, batch: nn.functional.cross_entropy(model(batch[0]), batch[1]))
    model = plain.build(0).eval()
    assert torch.equal(plain.compute_loss(model, (X, Y)), whole.compute_loss(model, (X, Y)))
    assert evaluate(plain, model, plain.sources["test"]) == evaluate(whole, model, whole.sources["test"])


class Pairs(Dataset[Any]):
    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return X[index], Y[index]


@pytest.mark.parametrize(
    "data", [(X, Y), TensorDataset(X, Y), Pairs(), DataLoader(Pairs(), 8)], ids=lambda d: type(d).__name__
)
def test_all_kinds_of_data_mean_the_same(data: Any) -> None:
    task = little.task(train=data, validation=data, test=data)
    task.check()
    model = task.build(0)
    loss, metric = evaluate(task, model, task.sources["test"])
    output = model.eval()(X)
    assert loss == pytest.approx(nn.functional.cross_entropy(output, Y).item(), rel=1e-6)
    assert metric == (output.argmax(1) == Y).double().mean().item()


def test_a_metric_function_sees_the_whole_part_at_once() -> None:
    seen: list[int] = []

    def metric(output: torch.Tensor, target: torch.Tensor) -> float:
        seen.append(len(target))
        return 0.25

    task = little.task(metric=metric, direction="max", test=DataLoader(TensorDataset(X, Y), 8))
    assert evaluate(task, task.build(0), task.sources["test"])[1] == 0.25
    assert seen == [32]


def test_shares_are_split_off_the_same_way_each_time_and_do_not_overlap() -> None:
    first, second = (
        little.task(train=(torch.arange(100.0)[:, None], torch.zeros(100)), validation=0.2, test=0.1) for _ in "ab"
    )
    parts = [
        {name: set(source.tensors[0].flatten().tolist()) for name, source in t.sources.items()} for t in (first, second)
    ]
    assert parts[0] == parts[1]
    assert {name: len(part) for name, part in parts[0].items()} == {"validation": 20, "test": 10, "train": 70}
    assert set.union(*parts[0].values()) == set(range(100))


def test_identity_follows_source_data_and_model() -> None:
    same = little.task().identity()
    assert same == little.task().identity()
    others = [
        little.task(batch_size=16),
        little.task(train=(little.rows(128, 0)[0] + 1e-6, little.rows(128, 0)[1])),
        little.task(model=lambda: nn.Linear(2, 2)),
        little.task(loss=nn.MultiMarginLoss()),
        little.task(source="other"),
    ]
    assert len({same, *(task.identity() for task in others)}) == 6


FILES = {
    "has no attribute 'task'; the tasks in it are mine": little.FILE.replace("task = Task", "mine = Task"),
    "has no attribute 'task'; it has no Task": "x = 1",
    "line 2: ZeroDivisionError": "x = 1\nx / 0\n",
    "line 2: SyntaxError": "x = 1\nx = = 2\n",
    "line 1: SystemExit": "raise SystemExit(3)",
    "line 1: ModuleNotFoundError: No module named 'no_such_thing'": "import no_such_thing",
    ":task is int; must be a thalweg.Task, a function": "task = 3",
    ":task is NoneType; must be a thalweg.Task": "def task(): return None",
    "line 2: TypeError": "def task(): \n    return 1 + ''",
    r"line 1\d: epochs: got 0; must be a whole number": little.FILE.replace("epochs=3", "epochs=0"),
}


@pytest.mark.parametrize("message", FILES)
def test_a_wrong_file(message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(FILES[message])
    with pytest.raises(TaskError) as error:
        load_task(str(path))
    assert re.search(message, str(error.value)) and "mine.py" in str(error.value)
    assert "\n" not in str(error.value)


def test_names_that_lead_nowhere(tmp_path: Path) -> None:
    for spec in ("digit", str(tmp_path / "no.py"), str(tmp_path / "no.py:task"), "no.such.module:task"):
        with pytest.raises(TaskError, match=r"task: .*(must be a built-in task|ModuleNotFoundError)"):
            load_task(spec)
    (tmp_path / "bytes.py").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TaskError, match="cannot be read"):
        load_task(str(tmp_path / "bytes.py"))


def test_a_file_with_a_task_or_a_function_that_makes_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(little.FILE + "\ndef make():\n    return task\n")
    assert load_task(str(path)).name == "mine"
    assert load_task(f"{path}:make").identity() == load_task(f"{path}:task").identity()


def test_digits_are_split_with_every_digit_in_each_part() -> None:
    task = load_task("digits")
    counts = {name: torch.bincount(source.tensors[1], minlength=10) for name, source in task.sources.items()}
    assert sum(int(count.sum()) for count in counts.values()) == 1797
    assert all((count.float() / count.sum()).sub(0.1).abs().max() < 0.01 for count in counts.values())
    pixels = task.sources["train"].tensors[0]
    assert pixels.mean().abs() < 1e-6
    assert isinstance(task, Task)
