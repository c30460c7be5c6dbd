"""How a loss and a metric are called: with the model and a batch, or with its output and the target."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor

from thalweg.lab.errors import TaskError


def takes_model(function: Callable[..., Any]) -> bool:
    """Whether this loss or metric wants `(model, batch)`: its first parameter is called `model`."""
    try:
        parameters = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return False
    return bool(parameters) and parameters[0] == "model"


def inputs_and_target(batch: Any) -> tuple[tuple[Any, ...], Any]:
    """Take a batch apart: all but the last are the model's inputs.

    Raises:
        TaskError: for a batch that is no such tuple.
    """
    if isinstance(batch, Mapping | Tensor) or not isinstance(batch, Iterable) or len(parts := tuple(batch)) < 2:
        raise TaskError(
            f"loss: a batch is {type(batch).__name__}, not (inputs..., target); must be a function whose "
            "first parameter is called model: loss(model, batch)"
        )
    return parts[:-1], parts[-1]
