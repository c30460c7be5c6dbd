"""What each parameter of a model is for (matrix, embedding, head, norm, ...): told by its module's type and use."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

ROLES = ("matrix", "embedding", "head", "convolution", "experts", "norm", "bias", "vector", "scalar")
NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.LocalResponseNorm)
NO_DECAY = ("norm", "bias", "vector", "scalar", "embedding")
KNOWN = (nn.Linear, nn.Bilinear, nn.MultiheadAttention, nn.RNNBase, nn.RNNCellBase, nn.modules.conv._ConvNd)


@dataclass(frozen=True)
class Role:
    """One parameter: its name, its role, and by what that was told."""

    name: str
    parameter: nn.Parameter
    role: str
    module: str  # the class of the module that holds it
    why: str


class Roles(tuple[Role, ...]):
    """The parameters of a model, each once, in the model's order. `print` shows a table."""

    def of(self, role: str) -> list[nn.Parameter]:
        """The parameters of a role."""
        return [each.parameter for each in self if each.role == role]

    @property
    def unknown(self) -> list[str]:
        """The classes of modules that are not known here, and whose parameters were told by their shape alone."""
        return sorted({each.module for each in self if each.why == "its shape"})

    def __str__(self) -> str:
        rows = [("role", "parameter", "shape", "module", "told by")]
        for each in sorted(self, key=lambda each: ROLES.index(each.role)):
            shape = " x ".join(map(str, each.parameter.shape)) or "one number"
            rows.append((each.role, each.name, shape, each.module, each.why))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def roles(model: nn.Module, *, head: nn.Module | None = None) -> Roles:
    """Tell what each parameter of a model is for.

    Args:
        model: any module; parameters that are shared are listed once, under their first name.
        head: the module whose output is the model's. By default what a Hugging Face model names as its output
            embeddings, else the last linear layer of the model, where it changes the width and is in no repeated block.

    Returns:
        A table of roles: "matrix" (of a linear, attention or recurrent layer), "embedding" (tied to a head or not),
        "head", "convolution", "experts" (a stack of matrices), "norm", "bias", "vector" and "scalar" (of modules that
        are not known: by their shape).

    Raises:
        TypeError: for what is not a module.
        ValueError: for a head that is not a module of the model.

    >>> model = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    >>> [each.role for each in roles(model)]
    ['embedding', 'matrix', 'bias', 'norm', 'norm', 'head', 'bias']
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: got a {type(model).__name__}; must be an nn.Module")
    if head is not None and not any(head is module for module in model.modules()):
        raise ValueError(f"head: got {head!r:.80}; must be a module of the model")
    head = _head_of(model) if head is None else head
    users: dict[nn.Parameter, list[tuple[str, str, nn.Module]]] = {}
    for prefix, module in model.named_modules(remove_duplicate=False):
        for name, parameter in module.named_parameters(recurse=False, remove_duplicate=False):
            users.setdefault(parameter, []).append((f"{prefix}.{name}".lstrip("."), name, module))
    return Roles(_role(parameter, found, head) for parameter, found in users.items())


def _role(parameter: nn.Parameter, users: list[tuple[str, str, nn.Module]], head: nn.Module | None) -> Role:
    told = [(*_told(parameter, name, module, head), type(module).__name__) for _, name, module in users]
    embeddings = [each for each in told if each[0] == "embedding"]
    role, why, module = embeddings[0] if embeddings else told[0]
    if embeddings and any(each[0] in ("head", "matrix") for each in told):
        why = "its module, tied to the head"
    return Role(users[0][0], parameter, role, module, why)


def _told(parameter: nn.Parameter, name: str, module: nn.Module, head: nn.Module | None) -> tuple[str, str]:
    """The role of a parameter as one of its modules uses it, and by what."""
    if isinstance(module, nn.Embedding | nn.EmbeddingBag):
        return "embedding", "its module"
    if isinstance(module, NORMS) or type(module).__name__.endswith("Norm"):
        return "norm", "its module"
    if isinstance(module, KNOWN):
        if parameter.dim() < 2 or name.startswith("bias"):
            return "bias", "its module"
        if module is head:
            return "head", "its module's use"
        return ("convolution" if isinstance(module, nn.modules.conv._ConvNd) else "matrix"), "its module"
    if parameter.dim() == 2 and any(
        p.dim() == 3 and len(p) == len(parameter) for p in module.parameters(recurse=False)
    ):
        return "bias", "its shape"  # one for each of a stack of experts beside it
    return _by_shape(parameter), "its shape"


def _by_shape(parameter: nn.Parameter) -> str:
    """A module of the user's own: a first axis of 1 is a batch's (a class token, positions), which is embedded."""
    if parameter.numel() == 1:
        return "scalar"
    if parameter.dim() > 1 and parameter.shape[0] == 1:
        return "embedding"
    return {1: "vector", 2: "matrix", 3: "experts"}.get(parameter.dim(), "convolution")


def _head_of(model: nn.Module) -> nn.Module | None:
    named = getattr(model, "get_output_embeddings", None)
    if named is not None:
        try:
            found = named()
        except (AttributeError, NotImplementedError):
            found = None
        if isinstance(found, nn.Module):
            return found
    repeated = {id(inner) for block in _blocks(model) for inner in block.modules()}
    holders = [module for module in model.modules() if any(True for _ in module.parameters(recurse=False))]
    last = next((module for module in reversed(holders) if not isinstance(module, NORMS)), None)
    if isinstance(last, nn.Linear) and last.in_features != last.out_features and id(last) not in repeated:
        return last
    return None


def _blocks(model: nn.Module) -> Iterator[nn.Module]:
    """The blocks of a model that are there several times: equal classes of the user's side by side in a list."""
    for module in model.modules():
        if isinstance(module, nn.ModuleList | nn.Sequential):
            children = list(module)
            for child in children:
                composed = any(True for _ in child.children())
                if composed and sum(type(other) is type(child) for other in children) > 1:
                    yield child


def groups(
    model: nn.Module,
    *,
    weight_decay: float | None = None,
    no_decay: tuple[str, ...] | None = None,
    lr: float | Mapping[str, float] | None = None,
    layer_decay: float | None = None,
    head: nn.Module | None = None,
) -> list[dict[str, Any]]:
    """Plain parameter groups by role, for any torch optimizer.

    Args:
        model: the model.
        weight_decay: of all roles but `no_decay`, which have 0; None leaves the optimizer's own.
        no_decay: the roles without decay; None: norm, bias, vector, scalar and embedding where `weight_decay` is given.
        lr: one learning rate, or one by role ("rest" for the others); None leaves the optimizer's own.
        layer_decay: each block's rate is this times that of the block above it (0 < layer_decay <= 1); embeddings lie
            below the first block. It needs a rate in `lr` for every role.
        head: see `roles`.

    Returns:
        A list of dicts with "params", "role", and "weight_decay" and "lr" where they were asked for; no group is empty.
        Parameters that do not require a gradient are left out.

    Raises:
        ValueError: naming the argument, its value and what is allowed.

    >>> model = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    >>> [(group["role"], group["weight_decay"]) for group in groups(model, weight_decay=0.1)]
    [('matrix', 0.1), ('bias', 0.0), ('norm', 0.0), ('head', 0.1)]
    """
    rates = lr if isinstance(lr, Mapping) else {} if lr is None else {"rest": lr}
    if no_decay is None:
        no_decay = () if weight_decay is None else NO_DECAY
    for name, number in (("weight_decay", weight_decay), *((f"lr[{role!r}]", rate) for role, rate in rates.items())):
        if number is not None and not 0 <= number < math.inf:
            raise ValueError(f"{name}: got {number!r}; must be a number of at least 0")
    for name, given in (("no_decay", no_decay), ("lr", rates)):
        for role in given:
            if role not in (*ROLES, *(["rest"] if name == "lr" else [])):
                raise ValueError(f"{name}: got {role!r}; must be a role: {', '.join(ROLES)}")
    if layer_decay is not None and not 0 < layer_decay <= 1:
        raise ValueError(f"layer_decay: got {layer_decay!r}; must be above 0 and at most 1")
    depth, most = _depths(model)
    made: dict[tuple[str, int], dict[str, Any]] = {}
    for each in roles(model, head=head):
        if not each.parameter.requires_grad:
            continue
        place = depth.get(each.parameter, most) if layer_decay is not None else 0
        group = made.setdefault((each.role, place), {"params": [], "role": each.role})
        group["params"].append(each.parameter)
        if each.role in no_decay:
            group["weight_decay"] = 0.0
        elif weight_decay is not None:
            group["weight_decay"] = weight_decay
        rate = rates.get(each.role, rates.get("rest"))
        if layer_decay is not None:
            if rate is None:
                raise ValueError(f"layer_decay: needs a rate for the role {each.role!r}: give lr, or lr['rest']")
            group["lr"] = rate * layer_decay ** (most - place)
        elif rate is not None:
            group["lr"] = rate
    return list(made.values())


def _depths(model: nn.Module) -> tuple[dict[torch.Tensor, int], int]:
    """Of each parameter how many blocks lie below it, by the longest list of equal blocks; and the depth of the top."""
    lists = [[*module] for module in model.modules() if isinstance(module, nn.ModuleList | nn.Sequential)]
    blocks = max((each for each in lists if len({type(block) for block in each}) == 1), key=len, default=[])
    depth: dict[torch.Tensor, int] = {}
    for module in model.modules():
        if isinstance(module, nn.Embedding | nn.EmbeddingBag):
            depth.update(dict.fromkeys(module.parameters(), 0))
    for index, block in enumerate(blocks, 1):
        depth.update(dict.fromkeys(block.parameters(), index))
    return depth, len(blocks) + 1
