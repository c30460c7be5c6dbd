"""The hooks of a step, called as torch calls them, without the profiler's range that torch opens around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.optim import optimizer as torch_optimizer


def any_hooks(optimizer: torch.optim.Optimizer) -> bool:
    """Whether a step has something to call before or after it."""
    return bool(
        optimizer._optimizer_step_pre_hooks
        or optimizer._optimizer_step_post_hooks
        or torch_optimizer._global_optimizer_pre_hooks
        or torch_optimizer._global_optimizer_post_hooks
    )


def step_between(optimizer: torch.optim.Optimizer, step: Callable[..., Any], *given: Any) -> Any:
    """A step between its hooks: the global ones outside. What a hook before it returns is what the step is given."""
    args: tuple[Any, ...] = (optimizer, *given)
    kwargs: dict[str, Any] = {}
    before, after = optimizer._optimizer_step_pre_hooks, optimizer._optimizer_step_post_hooks
    for hook in [*torch_optimizer._global_optimizer_pre_hooks.values(), *before.values()]:
        changed = hook(optimizer, args, kwargs)
        if changed is None:
            continue
        if not (isinstance(changed, tuple) and len(changed) == 2):
            raise RuntimeError(f"{step} must return None or a tuple of (new_args, new_kwargs), but got {changed}.")
        args, kwargs = changed
    result = step(*args, **kwargs)
    for after_step in [*after.values(), *torch_optimizer._global_optimizer_post_hooks.values()]:
        after_step(optimizer, args, kwargs)
    return result
