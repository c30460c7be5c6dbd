"""Why runs cannot ride in lanes, in plain words."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch

from thalweg.lab.errors import first_line

if TYPE_CHECKING:
    from thalweg.lab.task.task import Task


class CannotRide(Exception):
    """These runs must go one at a time; says why."""


# What torch says where vmap cannot go on, and what a user would call it.
WORDS = (
    (".item()", "the model or the loss calls .item() (or float(), int(), bool()) on a tensor, which needs one number"),
    ("data-dependent control flow", "the model or the loss asks `if` of a tensor, which may differ from lane to lane"),
    ("dynamic shape", "the size of a tensor depends on the numbers in it (a boolean mask, nonzero, unique)"),
    ("randomness", "the model draws random numbers in a way that cannot be tied to its seed"),
    ("checkpoint", "the model uses activation checkpointing"),
    ("spectral_norm", "the model uses spectral_norm, which rewrites its parameters as it runs"),
    ("in-place", "the model writes into a tensor that all lanes share"),
    ("inplace", "the model writes into a tensor that all lanes share"),
)


def in_words(error: BaseException) -> str:
    """The reason that is behind an exception."""
    if isinstance(error, CannotRide):
        return str(error)
    text = str(error)
    for sign, words in WORDS:
        if sign in text:
            return words
    return f"the stacked model raised {type(error).__name__}: {first_line(error)}"


def optimizer_refusal(optimizer: torch.optim.Optimizer) -> str | None:
    """Why this optimizer cannot be stepped with gradients alone; None where it can."""
    name = type(optimizer).__name__
    if getattr(optimizer, "second_order", False):
        return f"{name} needs the gradients' graph for its curvature"
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        return f"{name} re-evaluates the closure several times a step"
    return None


def task_refusal(task: Task) -> str | None:
    """Why runs of this task cannot be stacked, as far as its fields tell; None where nothing speaks against it."""
    for name, asked in (
        ("groups", task.groups is not None),
        ("precision", task.precision is not None),
        ("accumulate", task.accumulate > 1),
        ("compile", bool(task.compile)),
        ("folds", task.folds is not None),
    ):
        if asked:
            return f"the task has {name}, which lanes do not take"
    return None


def model_refusal(model: torch.nn.Module) -> str | None:
    """Why this model's training cannot be stacked, as far as its modules tell; None where nothing speaks against it."""
    for module in model.modules():
        if isinstance(module, torch.nn.RNNBase):
            return f"{type(module).__name__} is a recurrent layer, which gains nothing side by side"
        if isinstance(module, torch.nn.Embedding | torch.nn.EmbeddingBag) and module.sparse:
            return f"{type(module).__name__} has sparse gradients, which cannot be stacked"
        if isinstance(module, torch.nn.modules.lazy.LazyModuleMixin) and module.has_uninitialized_params():
            return f"{type(module).__name__} learns its size from the first batch"
    if any(_has_norm_hook(module) for module in model.modules()):
        return "the model uses spectral_norm, which rewrites its parameters as it runs"
    if not all(p.is_floating_point() for p in model.parameters()):
        return "the model has complex parameters"
    return None


def _has_norm_hook(module: Any) -> bool:
    return any(type(hook).__name__ == "SpectralNorm" for hook in module._forward_pre_hooks.values()) or any(
        type(each).__name__ == "_SpectralNorm"
        for parts in getattr(module, "parametrizations", {}).values()
        for each in parts
    )
