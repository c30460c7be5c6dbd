"""The loss and the metric of a model over a whole part of the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from thalweg.lab.errors import TaskError
from thalweg.lab.task.convention import inputs_and_target, takes_model
from thalweg.lab.task.data import Source, count_rows, to_device
from thalweg.lab.task.precision import autocast, widened

if TYPE_CHECKING:
    from thalweg.lab.task.task import Task


def evaluate(task: Task, model: nn.Module, source: Source) -> tuple[float, float]:
    """The loss and the metric over a whole part of the data, without dropout.

    A metric of `(output, target)` sees the whole part at once; everything else is a mean over rows.
    """
    model.eval()
    whole = callable(task.metric) and not takes_model(task.metric)
    total = {"rows": 0, "loss": 0.0, "metric": 0.0}
    outputs: list[Any] = []
    targets: list[Any] = []
    with torch.no_grad(), autocast(task):
        for raw in source.batches(None):
            batch = to_device(raw, task.device)
            rows = count_rows(batch)
            output = target = None
            if whole or task.metric == "accuracy" or not task.loss_takes_model:
                inputs, target = inputs_and_target(batch)
                output = model(*inputs)
            loss = task.compute_loss(model, batch) if task.loss_takes_model else task.loss(output, target)
            output = widened(task, output)
            total["rows"] += rows
            total["loss"] += rows * float(loss)
            if whole:
                outputs.append(output)
                targets.append(target)
            else:
                total["metric"] += rows * metric_of(task, model, batch, output, target, float(loss))
        metric = metric_over_all(task, outputs, targets) if whole else total["metric"] / max(1, total["rows"])
    model.train()
    return total["loss"] / max(1, total["rows"]), metric


def metric_of(task: Task, model: nn.Module, batch: Any, output: Any, target: Any, loss: float) -> float:
    if task.metric == "loss":
        return loss
    if task.metric == "accuracy":
        return float(hits(output, target).mean())
    assert callable(task.metric)
    return as_number(task.metric(model, batch))


def hits(output: Tensor, target: Tensor) -> Tensor:
    """1 where the guess is right, else 0."""
    guess = output.argmax(1) if output.dim() > 1 and output.shape[1] > 1 else (output.squeeze(-1) > 0).long()
    return (guess == target.squeeze(-1) if target.dim() > guess.dim() else guess == target).double()


def metric_over_all(task: Task, outputs: list[Any], targets: list[Any]) -> float:
    assert callable(task.metric)
    if not isinstance(outputs[0], Tensor) or not isinstance(targets[0], Tensor):
        raise TaskError("metric: the model's output and the target must be tensors, or let it be metric(model, batch)")
    return as_number(task.metric(torch.cat(outputs), torch.cat(targets)))


def as_number(value: Any) -> float:
    """What a metric gave, which must be one number."""
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        shape = f" of shape {tuple(value.shape)}" if isinstance(value, Tensor) else ""
        raise TaskError(f"metric: returned {type(value).__name__}{shape}; must return one number") from None
