"""Replicas of parameters on other processes: those over which a DistributedDataParallel averages gradients.

What is worked out beside `loss.backward()` passes by its reducer, and has to be averaged here.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel

from thalweg.plan.process_groups import reduced

Tensor = torch.Tensor
_known: weakref.WeakSet[DistributedDataParallel] = weakref.WeakSet()


def replicated(params: Sequence[Tensor]) -> dict[Tensor, Any]:
    """Those of the parameters that other processes have as well, each with its process group.

    Nothing leads from a parameter to the module that averages its gradients: where none is known, it is looked for
    among all objects (0.1 s).
    """
    from torch import distributed

    if not (distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1):
        return {}
    found = _groups(params)
    if not found:
        _known.update(each for each in gc.get_objects() if issubclass(type(each), DistributedDataParallel))
        found = _groups(params)
    return found


def _groups(params: Sequence[Tensor]) -> dict[Tensor, Any]:
    held: dict[Tensor, Any] = {p: module.process_group for module in _known for p in module.parameters()}
    return {p: held[p] for p in params if p in held}


def used_anywhere(used: Sequence[bool], params: Sequence[Tensor], groups: Mapping[Tensor, Any]) -> list[bool]:
    """Whether a parameter is used on this process or, where it has replicas, on another."""
    flags = [torch.tensor(float(each), device="cpu") for each in used]
    held = _sums(flags, params, groups)
    return [each or bool(flag > 0) for each, flag in zip(used, held, strict=True)]


def averaged(tensors: Sequence[Tensor], params: Sequence[Tensor], groups: Mapping[Tensor, Any]) -> list[Tensor]:
    """Each tensor, its parameter's, as the mean over the replicas."""
    sums = _sums(tensors, params, groups)
    return [total / groups[p].size() if p in groups else total for total, p in zip(sums, params, strict=True)]


def _sums(tensors: Sequence[Tensor], params: Sequence[Tensor], groups: Mapping[Tensor, Any]) -> list[Tensor]:
    """The sums over the replicas: one message for each group, dtype and device, in the parameters' order."""
    sums = list(tensors)
    together: dict[Any, list[int]] = {}
    for index, (tensor, p) in enumerate(zip(tensors, params, strict=True)):
        if p in groups:
            together.setdefault((groups[p], tensor.dtype, tensor.device), []).append(index)
    for (group, *_), indices in together.items():
        flat = reduced(torch.cat([tensors[index].reshape(-1) for index in indices]), group)
        pieces = torch.split(flat, [tensors[index].numel() for index in indices])
        for index, piece in zip(indices, pieces, strict=True):
            sums[index] = piece.view(tensors[index].shape)
    return sums
