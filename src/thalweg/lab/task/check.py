"""A task tried before its study starts: one batch of each part, one evaluation, the schedule."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from thalweg.lab.errors import TaskError, first_line
from thalweg.lab.isolation import preserving_process
from thalweg.lab.random.seeds import seed_everything
from thalweg.lab.task.data import Source, to_device
from thalweg.lab.task.evaluation import evaluate
from thalweg.lab.task.schedule import Schedule

if TYPE_CHECKING:
    from thalweg.lab.task.task import Task


def check(task: Task) -> None:
    """Raises TaskError naming what is wrong."""
    with preserving_process(task.device):
        model = _trying("model", partial(task.build, 0))
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise TaskError(f"model: {type(model).__name__} has no parameters to train")
        for name in ("train", "validation"):
            _try_part(task, model, name)
        _try_metric(task, model)
        if task.groups is not None:
            _check_groups(_trying("groups", partial(task.groups, model)))
        if task.schedule is not None:
            optimizer = torch.optim.Adam(model.parameters())
            _trying("schedule", partial(Schedule, task, optimizer, task.epochs))


def _try_part(task: Task, model: nn.Module, name: str) -> None:
    seed_everything(0, task.device)
    batch = _trying(name, partial(first_batch, task.sources[name], 0 if name == "train" else None))
    if batch is None:
        raise TaskError(f"{name}: gave no batch; must hold at least one")
    batch = to_device(batch, task.device)
    if name == "train" and task.augment is not None:
        batch = _trying("augment", partial(task.augment, batch))
        if batch is None:
            raise TaskError("augment: returned None; must return the batch to train on")
    check_loss(_trying("loss", partial(task.compute_loss, model, batch)), learn=name == "train")


def _try_metric(task: Task, model: nn.Module) -> None:
    """One whole evaluation: a metric that cannot be worked out would fail every run at its first epoch's end."""
    seed_everything(0, task.device)
    _, value = _trying("metric", partial(evaluate, task, model, task.sources["validation"]))
    if math.isnan(value):
        raise TaskError("metric: is nan on the validation data of the untrained model; must be a number")


def _check_groups(given: Any) -> None:
    whole = (
        isinstance(given, list | tuple) and given and all(isinstance(one, dict) and "params" in one for one in given)
    )
    if not whole:
        raise TaskError("groups: must return parameter groups, a list of dictionaries with params")


def check_loss(loss: Any, learn: bool = True, finite: bool = True) -> None:
    """Refuse what cannot be minimised: only a finite scalar tensor with a gradient will do."""
    must = "must be a scalar floating-point tensor with a gradient"
    if not isinstance(loss, Tensor):
        raise TaskError(f"loss: returned {type(loss).__name__}; {must}")
    if (loss.dim() and loss.numel() != 1) or loss.numel() == 0:
        raise TaskError(f"loss: returned a tensor of shape {tuple(loss.shape)}; {must} (take .mean())")
    if not loss.is_floating_point():
        raise TaskError(f"loss: returned a tensor of {loss.dtype}; {must}")
    if learn and not loss.requires_grad:
        raise TaskError(f"loss: returned a tensor without a gradient (detached, or made under no_grad); {must}")
    if finite and not torch.isfinite(loss.detach()).all():
        raise TaskError(f"loss: is {loss.item()} on the first batch of the untrained model; must be finite")


def first_batch(source: Source, seed: int | None) -> Any:
    """The first batch of a part of the data; None where there is none."""
    return next(source.batches(seed), None)


def _trying(argument: str, action: Callable[[], Any]) -> Any:
    try:
        return action()
    except TaskError:
        raise
    except Exception as error:
        raise TaskError(f"{argument}: raised {type(error).__name__}: {first_line(error)}") from error
