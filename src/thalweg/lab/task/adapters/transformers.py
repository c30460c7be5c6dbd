"""A model of Hugging Face's transformers with a dataset as a task: the loss is the one that comes with its output."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from thalweg.lab.errors import TaskError
from thalweg.lab.task.data import Items, split
from thalweg.lab.task.task import Task

__all__ = ["from_transformers"]

IGNORED = -100  # labels that no loss of transformers counts


def from_transformers(
    make_model: Callable[[], nn.Module],
    train: Any,
    validation: Any = 0.1,
    test: Any = 0.1,
    *,
    collate: Callable[[list[Any]], Mapping[str, Any]] | None = None,
    metric: str | Callable[..., Any] = "loss",
    direction: str | None = None,
    batch_size: int = 16,
    **settings: Any,
) -> Task:
    """The task of a model whose output has a `loss` when it is given labels.

    Args:
        make_model: builds a new model: `lambda: AutoModelForSequenceClassification.from_config(config)`, or from
            pretrained weights.
        train: tokenised rows: a Dataset, or a list, of dicts such as `{"input_ids": ..., "labels": ...}`.
        validation, test: the same, or a share of the training rows.
        collate: makes a batch of rows, a data collator of transformers for example; theirs by default needs rows of
            equal length.
        metric: "loss", "accuracy" (of labels that are not -100; for a model whose output stands at its label's place),
            or `metric(model, batch)`.
        direction: "max" or "min" for a metric that is a function.
        settings: any other argument of `Task`: epochs, steps, schedule, patience, clip_norm ...

    Raises:
        TaskError: naming the argument, its value and what is allowed.
    """
    if isinstance(make_model, nn.Module):
        raise TaskError(
            f"make_model: got a {type(make_model).__name__} that is already built; must be a function that builds a "
            "new one, so that seeds fix its initialization"
        )
    if collate is None:
        try:
            from transformers import default_data_collator
        except ImportError:
            raise TaskError("collate: got None, and transformers is not installed: pip install transformers") from None
        collate = default_data_collator
    parts = _parts(train, {"validation": validation, "test": test}, batch_size)
    loaders = {
        name: DataLoader(rows, batch_size, shuffle=name == "train", collate_fn=collate) for name, rows in parts.items()
    }
    if metric == "accuracy":
        metric, direction = accuracy, "max"
    given: dict[str, Any] = {
        "name": "transformer",
        "model": make_model,
        "loss": output_loss,
        "metric": metric,
        "direction": direction,
        "batch_size": batch_size,
        **loaders,
    }
    return Task(**{**given, **settings})


def output_loss(model: nn.Module, batch: Mapping[str, Any]) -> Tensor:
    """What the model itself calls its loss."""
    loss: Tensor | None = model(**batch).loss
    if loss is None:
        raise TaskError(f"loss: {type(model).__name__} gives none; its rows need labels, and have {', '.join(batch)}")
    return loss


def accuracy(model: nn.Module, batch: Mapping[str, Any]) -> Tensor:
    """The share of labels whose score is the highest."""
    labels = batch["labels"]
    right: Tensor = model(**batch).logits.argmax(-1) == labels
    return right[labels != IGNORED].float().mean()


class Listed(Dataset[Any]):
    """A list of rows as a Dataset."""

    def __init__(self, rows: list[Any]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Any:
        return self.rows[index]


def _parts(train: Any, others: Mapping[str, Any], batch_size: int) -> dict[str, Any]:
    shares = {name: value for name, value in others.items() if isinstance(value, float)}
    parts = {name: _rows(name, value) for name, value in others.items() if name not in shares}
    rows = _rows("train", train)
    if not shares:
        return {"train": rows, **parts}
    if any(not 0 < share < 1 for share in shares.values()) or sum(shares.values()) >= 1:
        raise TaskError(f"{' and '.join(shares)}: got {shares}; must be shares above 0 that leave rows to train on")
    try:
        found = split(Items(rows, batch_size), shares)
    except ValueError as error:
        raise TaskError(str(error)) from None
    return {name: part.dataset for name, part in found.items() if isinstance(part, Items)} | parts


def _rows(name: str, value: Any) -> Any:
    rows = Listed(value) if isinstance(value, list) else value
    if not (hasattr(rows, "__len__") and hasattr(rows, "__getitem__")) or isinstance(value, torch.Tensor | str):
        raise TaskError(f"{name}: got {type(value).__name__}; must be a Dataset or a list of dicts, or a share")
    if len(rows) == 0:
        raise TaskError(f"{name}: has no rows; must be a Dataset or a list of dicts")
    if not isinstance(rows[0], Mapping):
        raise TaskError(f"{name}: its rows are {type(rows[0]).__name__}; must be dicts such as input_ids and labels")
    return rows
