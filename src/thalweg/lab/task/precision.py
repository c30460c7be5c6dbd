"""A task's precision: autocast around its forward passes, and for float16 a scaler of its losses."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

if TYPE_CHECKING:
    from thalweg.lab.task.task import Task

PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16}
_SCALERS: WeakKeyDictionary[torch.optim.Optimizer, torch.amp.GradScaler] = WeakKeyDictionary()


def autocast(task: Task) -> AbstractContextManager[Any]:
    """What a task's forward passes run in."""
    if task.precision is None:
        return nullcontext()
    return torch.autocast(torch.device(task.device).type, PRECISIONS[task.precision])


def widened(task: Task, output: Any) -> Any:
    """An output as a metric gets it: in float32, as few of them expect another."""
    lowered = task.precision is not None and isinstance(output, Tensor) and output.is_floating_point()
    return output.float() if lowered else output


def scaler_of(task: Task, optimizer: torch.optim.Optimizer) -> torch.amp.GradScaler | None:
    """The scaler of a run in float16: one an optimizer, as its scale is part of the run. None where none is needed."""
    if task.precision != "fp16":
        return None
    if optimizer not in _SCALERS:
        _SCALERS[optimizer] = torch.amp.GradScaler(torch.device(task.device).type)
    return _SCALERS[optimizer]
