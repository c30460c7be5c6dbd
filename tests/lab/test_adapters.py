"""A LightningModule and a model of transformers, each a task that trains as its own framework's loop does."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import little
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from thalweg.catalogue import Entry
from thalweg.lab.errors import TaskError
from thalweg.lab.task.adapters.lightning import from_lightning
from thalweg.lab.task.adapters.transformers import from_transformers
from thalweg.lab.task.load import load_task
from thalweg.lab.task.task import Task
from thalweg.lab.training.job import Job
from thalweg.lab.training.loop import run_trial
from thalweg.lab.training.trial import Configuration, Trial

pl = pytest.importorskip("lightning.pytorch")
transformers = pytest.importorskip("transformers")
torchmetrics = pytest.importorskip("torchmetrics")
SGD = Entry.of(torch.optim.SGD)


def run(task: Task, lr: float = 0.1) -> Trial:
    return run_trial(task, Job("x", "final", 0, SGD, Configuration("sgd", {"lr": lr}, 0), task.epochs))


class Module(pl.LightningModule):  # type: ignore[misc,name-defined]
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))
        self.right = torchmetrics.Accuracy("multiclass", num_classes=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        candidates, labels = batch
        loss = nn.functional.cross_entropy(self(candidates), labels)
        self.log("train_loss", loss)
        return {"loss": loss}

    def validation_step(self, batch: Any) -> None:
        candidates, labels = batch
        scores = self(candidates)
        self.right(scores, labels)
        self.log_dict({"val_loss": nn.functional.cross_entropy(scores, labels), "val_accuracy": self.right})

    def configure_optimizers(self) -> Any:
        raise AssertionError("the lab chooses")


class Data(pl.LightningDataModule):  # type: ignore[misc,name-defined]
    def setup(self, stage: str) -> None:
        self.parts = [TensorDataset(*little.rows(size, seed)) for seed, size in enumerate((128, 64, 64))]

    def train_dataloader(self) -> Any:
        return DataLoader(self.parts[0], 32, shuffle=True)

    def val_dataloader(self) -> Any:
        return DataLoader(self.parts[1], 32)

    def test_dataloader(self) -> Any:
        return [DataLoader(self.parts[2], 64)]


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))


def test_a_lightning_module_is_the_task_of_its_parts() -> None:
    loader = DataLoader(TensorDataset(*little.rows(128, 0)), 32, shuffle=True)
    plain = run(little.task(model=network, train=loader, metric="accuracy"))
    ours = from_lightning(Module, Data(), "val_accuracy", "max", epochs=3)
    ours.check()
    found = run(ours)
    assert found.done, found.message
    assert found.curve.train_loss == plain.curve.train_loss
    assert found.curve.validation_loss == pytest.approx(plain.curve.validation_loss, rel=1e-6)
    assert found.curve.validation_metric == pytest.approx(plain.curve.validation_metric)
    assert found.test_metric == pytest.approx(plain.test_metric)
    assert "its configure_optimizers is not used" in ours.about
    assert ours.name == "module" and ours.identity() == from_lightning(Module, Data, "val_accuracy", "max").identity()


def test_a_lightning_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("from test_adapters import Module, Data\ntask = (Module, Data)\n")
    task = load_task(str(path))
    assert task.metric_name == "val_loss" and not task.larger_is_better
    assert task.name == "module"


class NoTest(Data):
    test_dataloader = pl.LightningDataModule.test_dataloader


def test_a_module_without_test_data_has_some_held_out() -> None:
    task = from_lightning(Module, NoTest(), epochs=1)
    whole = from_lightning(Module, Data(), epochs=1).sources["validation"].rows
    assert whole is not None
    assert task.sources["validation"].rows == task.sources["test"].rows == whole // 2
    assert "half of the validation data is held out" in task.about
    assert run(task).done
    share = from_lightning(Module, NoTest(), test=0.25, epochs=1)
    assert share.sources["test"].rows == round(0.25 * whole)


class TwoLoaders(Data):
    def val_dataloader(self) -> Any:
        return [super().val_dataloader()] * 2


class ByHand(Module):
    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False


def test_what_is_wrong_with_a_lightning_module() -> None:
    with pytest.raises(TaskError, match="make_module: got Module; must be a LightningModule's class, or a function"):
        from_lightning(Module(), Data())  # type: ignore[arg-type]
    with pytest.raises(TaskError, match="test: got 1.5 of .* validation rows"):
        from_lightning(Module, NoTest(), test=1.5)
    assert run(from_lightning(Module, NoTest(), test=TensorDataset(*little.rows(64, 2)), epochs=1)).done
    with pytest.raises(TaskError, match="TwoLoaders.val_dataloader gave list; must be one DataLoader"):
        from_lightning(Module, TwoLoaders())
    with pytest.raises(TaskError, match="make_module: built Linear without training_step; must be a LightningModule"):
        from_lightning(partial(nn.Linear, 2, 2), Data()).check()
    with pytest.raises(TaskError, match="ByHand optimizes by hand"):
        from_lightning(ByHand, Data()).check()
    missing = run(from_lightning(Module, Data(), "f1"))
    assert "metric: 'f1' is not logged by validation_step, which logs val_loss, val_accuracy" in str(missing.message)


def sentences(count: int, seed: int) -> list[dict[str, Any]]:
    """Which of two words is more frequent?"""
    words = torch.randint(4, 6, (count, 7), generator=torch.Generator().manual_seed(seed))
    return [{"input_ids": row.tolist(), "label": int((row == 4).sum() > 3)} for row in words]


def bert() -> nn.Module:
    config = transformers.BertConfig(
        vocab_size=8, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, num_labels=2
    )
    return transformers.BertForSequenceClassification(config)


def gpt() -> nn.Module:
    return transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=8, n_positions=8, n_embd=8, n_layer=1, n_head=2)
    )


def test_a_classifier_of_transformers() -> None:
    task = from_transformers(bert, sentences(200, 0), metric="accuracy", epochs=12, batch_size=20, name="words")
    task.check()
    found, again = run(task), run(task)
    assert found.done, found.message
    assert found.curve == again.curve
    assert [task.sources[part].rows for part in ("train", "validation", "test")] == [160, 20, 20]
    assert found.curve.steps[0] == 8 and found.metric > 0.8 and task.larger_is_better


def test_its_loss_is_the_models_own() -> None:
    task = from_transformers(bert, sentences(40, 0), sentences(20, 1), sentences(20, 2), epochs=1)
    model = task.build(0).eval()
    batch = next(task.sources["validation"].batches(None))
    assert set(batch) == {"input_ids", "labels"} and batch["input_ids"].shape == (16, 7)
    logits = model(input_ids=batch["input_ids"]).logits
    expected = nn.functional.cross_entropy(logits, batch["labels"])
    assert torch.allclose(task.compute_loss(model, batch), expected)
    other = from_transformers(bert, sentences(40, 3), sentences(20, 1), sentences(20, 2), epochs=1)
    assert other.identity() != task.identity()


def pad(rows: list[Any]) -> dict[str, torch.Tensor]:
    ids = nn.utils.rnn.pad_sequence([torch.tensor(row["input_ids"]) for row in rows], batch_first=True, padding_value=0)
    return {"input_ids": ids, "labels": ids.masked_fill(ids == 0, -100)}


def test_a_language_model_with_a_collator_of_ones_own() -> None:
    rows = [{"input_ids": [4, 5, 6][: 2 + place % 2] * 2} for place in range(40)]
    found = run(from_transformers(gpt, rows, collate=pad, epochs=4, steps=40, batch_size=8), lr=0.5)
    assert found.done and found.curve.steps == [10, 20, 30, 40]
    assert found.metric < found.curve.validation_metric[0]


WRONG: dict[str, Callable[[], Task]] = {
    "make_model: got a Linear that is already built": lambda: from_transformers(nn.Linear(2, 2), sentences(9, 0)),
    "train: got Tensor; must be a Dataset or a list of dicts": lambda: from_transformers(bert, torch.zeros(9)),
    "train: has no rows": lambda: from_transformers(bert, []),
    "validation: its rows are int; must be dicts": lambda: from_transformers(bert, sentences(9, 0), [1]),
    "validation and test: got .*; must be shares": lambda: from_transformers(bert, sentences(9, 0), 0.5, 0.5),
    "validation=0.01: no row is left for it": lambda: from_transformers(bert, sentences(9, 0), 0.01, 0.5),
    'direction: got None; must be "max" or "min"': lambda: from_transformers(bert, sentences(40, 0), metric=max),
}


@pytest.mark.parametrize("message", WRONG)
def test_what_is_wrong_with_a_dataset(message: str) -> None:
    with pytest.raises(TaskError, match=message):
        WRONG[message]()


def test_rows_without_labels() -> None:
    rows = [{"input_ids": [4, 5]}] * 40
    with pytest.raises(TaskError, match="loss: BertForSequenceClassification gives none; its rows need labels"):
        from_transformers(bert, rows).check()


def test_without_transformers_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(TaskError, match="collate: got None, and transformers is not installed: pip install"):
        from_transformers(bert, sentences(9, 0))
    assert from_transformers(bert, sentences(40, 0), collate=pad).name == "transformer"
