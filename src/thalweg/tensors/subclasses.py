"""Classes of tensors: which are plain memory, and how the others are read and written.

A kernel asks a tensor for its address, and computes there as torch would. That is right for torch's own classes, and
for those derived from them that change no operation. Of the others some have no memory of their own (torchao's float8
weights, a collective's result that is still on its way, fake tensors: their address is 0), and some an arithmetic of
their own (pypose's rotations, to which one adds by turning). These are copied out by `copy_`, or read under their
class, and written by their own `copy_`, or by their own `add_` where they are memory.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch

Tensor = torch.Tensor
QUIET = {"requires_grad_", "retain_grad_", "share_memory_", "detach_", "rename_"}  # methods that compute nothing


@cache
def ordinary(kind: type) -> bool:
    """True for a class whose tensors are plain memory with torch's arithmetic."""
    if _dispatches(kind) or _function(kind) not in (_function(Tensor), _function(torch.nn.Parameter)):
        return False
    own = {name for each in kind.__mro__ if each is not Tensor and not issubclass(Tensor, each) for name in vars(each)}
    return not any(_computes(name) for name in own)


def _dispatches(kind: type) -> bool:
    return getattr(kind, "__torch_dispatch__", None) is not Tensor.__torch_dispatch__


def _function(kind: Any) -> Any:
    given = kind.__torch_function__
    return getattr(given, "__func__", given)


def _computes(name: str) -> bool:
    """True for the name of an operation that writes into its tensor."""
    return name.endswith("_") and not name.startswith("_") and name not in QUIET and hasattr(Tensor, name)


def address(tensor: Tensor) -> int:
    """Where a tensor's memory is; 0 where it has none, or none to be asked for."""
    if not ordinary(type(tensor)):
        return 0
    try:
        return tensor.data_ptr()
    except RuntimeError:  # inside a transform of torch.func
        return 0


def check_memory(place: int, tensor: Tensor, what: str) -> None:
    """RuntimeError for a tensor that should be plain memory, and has none."""
    due = ordinary(type(tensor)) and tensor.layout is torch.strided and tensor.numel() > 0 and not tensor.is_meta
    if due and address(tensor) == 0:
        raise RuntimeError(
            f"parameter {place} of shape {tuple(tensor.shape)}: {what} has no memory: its storage was given back "
            "(FSDP does so between uses), or it is inside a transform of torch.func"
        )


def is_fake(tensor: Tensor) -> bool:
    """True for a tensor that has all but numbers."""
    return type(tensor).__module__.startswith("torch._subclasses.")


def has_numbers(tensor: Tensor) -> bool:
    """False for a fake tensor, and one on the meta device."""
    return not (tensor.is_meta or is_fake(tensor))


def adds_by_itself(tensor: Tensor) -> bool:
    """True for memory whose class may have its own addition."""
    kind = type(tensor)
    if ordinary(kind) or is_fake(tensor):
        return False
    return not _dispatches(kind) or _has_memory(tensor)


def _has_memory(tensor: Tensor) -> bool:
    """Whether a tensor whose class takes its operations is one itself, and not around others."""
    try:
        return tensor.data_ptr() != 0
    except RuntimeError:
        return False


def plain(tensor: Tensor) -> Tensor:
    """The numbers of any tensor as plain memory: itself, what lies under its class, or a copy. What a collective has
    not yet brought is waited for."""
    kind = type(tensor)
    if ordinary(kind):
        return tensor
    arrived: Callable[[], Tensor] | None = getattr(tensor, "trigger_wait", None)
    if arrived is not None:
        return plain(arrived())
    if not _dispatches(kind):
        with torch._C.DisableTorchFunctionSubclass():
            return tensor.detach()
    if is_fake(tensor):
        return tensor.detach()
    return torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device).copy_(tensor.detach())


def put(tensor: Tensor, new: Tensor, before: Tensor) -> None:
    """Write what a step made of `before`: by the class's own addition, where it has one."""
    with torch.no_grad():
        if adds_by_itself(tensor):
            tensor.add_(new - before)
        else:
            tensor.copy_(new)
