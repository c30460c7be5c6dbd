"""What a caller gives lens: an optimizer with its state, its model, a loss. Wrong ones are refused in a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
SETTINGS = ("lr", "betas", "eps", "weight_decay", "decoupled_weight_decay", "momentum")  # of a group


def check(optimizer: Any, model: Any, first: str = "lens(optimizer, model): the optimizer") -> None:
    """ValueError for what is no optimizer, and for what is no model. `first`: the call, and what comes first in it."""
    if not hasattr(optimizer, "register_step_pre_hook") or not hasattr(optimizer, "param_groups"):
        swapped = f"; {first} comes first" if isinstance(model, Optimizer) else ""
        raise ValueError(f"optimizer: got a {type(optimizer).__name__}; must be a torch.optim.Optimizer{swapped}")
    if not isinstance(model, nn.Module):
        raise ValueError(f"model: got {model if model is None else f'a {type(model).__name__}'}; must be an nn.Module")
    lazy = next((name for name, p in model.named_parameters() if is_lazy(p)), None)
    if lazy is not None:
        raise ValueError(f"model: {lazy} has no shape yet; call the model once, on a batch, before it is watched")


def first_layer(model: nn.Module) -> nn.Module:
    """The first that has weights and is no container: what it is given is what the weights see. A model that is
    compiled, whose layers are not called one by one, is taken as a whole."""
    if hasattr(model, "_orig_mod") or getattr(model, "_compiled_call_impl", None) is not None:
        return model
    layers = (each for each in model.modules() if next(each.children(), None) is None)
    return next((each for each in layers if next(each.parameters(), None) is not None), model)


def has_stepped(state: Any) -> bool:
    """Whether a parameter's state is that of a step: some optimizers make it, at step 0, before the first."""
    if not isinstance(state, Mapping) or not state:
        return False
    return float(state["step"]) > 0 if "step" in state else any(value is not None for value in state.values())


def settings(groups: Sequence[Mapping[str, Any]], names: Mapping[int, str]) -> list[dict[str, Any]]:
    """Of each group what lens goes by, and the names of its parameters."""
    return [
        {key: g[key] for key in SETTINGS if key in g} | {"names": [names[id(p)] for p in g["params"] if id(p) in names]}
        for g in groups
    ]


def number(value: Tensor | float) -> float:
    """ValueError for what is not one number."""
    if isinstance(value, Tensor) and value.numel() == 1:
        return float(value.item())
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        got = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)
        raise ValueError(f"loss: got {got}; must be one number, or a tensor of one element") from None
