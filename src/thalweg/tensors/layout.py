"""How tensors lie in memory: flat or with gaps, alike or not, one over another, whole or a shard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from thalweg.tensors.subclasses import address, ordinary

Tensor = torch.Tensor


def is_flat(tensor: Tensor) -> bool:
    """True where the tensor fills one stretch of memory, in whatever order of dimensions."""
    if tensor.layout is not torch.strided:
        return False
    if tensor.is_contiguous():
        return True
    expected = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size > 1:
            if stride != expected:
                return False
            expected *= size
    return True


def lies_like(tensor: Tensor, reference: Tensor, dtype: torch.dtype | None = None) -> bool:
    """True where element i in memory means the same for both. `dtype`: the tensor's, where not the reference's."""
    due = reference.dtype if dtype is None else dtype
    if tensor.layout is not torch.strided or tensor.dtype != due or tensor.is_neg() or tensor.is_conj():
        return False
    if not ordinary(type(tensor)):
        return False
    both_plain = tensor.is_contiguous() and reference.is_contiguous()
    return both_plain or (tensor.stride() == reference.stride() and is_flat(tensor))


def laid_like(tensor: Tensor, reference: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """A copy of `tensor` with the layout of `reference` in memory."""
    dense = tensor if tensor.layout is torch.strided else tensor.to_dense()
    return torch.empty_like(reference, dtype=dtype).copy_(dense.detach())


def real(tensor: Tensor) -> Tensor:
    """A complex tensor as its real and imaginary parts side by side: rules act on each, as in torch."""
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def is_shard(tensor: Tensor) -> bool:
    """True for a DTensor: this process holds a part of it."""
    return hasattr(tensor, "_local_tensor")


def placed_alike(one: Tensor, other: Tensor) -> bool:
    """True where both are whole, or split over the same processes in the same way."""
    if not (is_shard(one) and is_shard(other)):
        return is_shard(one) == is_shard(other)
    a: Any = one
    b: Any = other
    return bool(a.placements == b.placements and a.device_mesh == b.device_mesh)


def placed_like(tensor: Tensor, reference: Tensor) -> Tensor:
    """A tensor split over processes as another is, or whole as that is. All processes ask for it together."""
    given: Any = tensor
    if is_shard(given) and getattr(reference, "device_mesh", None) != given.device_mesh:
        given = given.full_tensor()
    if is_shard(reference):
        from torch.distributed.tensor import DTensor, Replicate

        due: Any = reference
        if not is_shard(given):
            every = [Replicate()] * due.device_mesh.ndim
            given = DTensor.from_local(given.to(due.device), due.device_mesh, every, run_check=False)
        given = given.redistribute(due.device_mesh, due.placements)
    return given  # type: ignore[no-any-return]


def local(tensor: Tensor) -> Tensor:
    """This process's part of a DTensor; any other tensor itself."""
    part: Tensor = getattr(tensor, "_local_tensor", tensor)
    return part


def in_full(tensor: Any) -> Tensor:
    """All of a DTensor, gathered from its processes; any other tensor itself."""
    gathered: Tensor = tensor.full_tensor() if is_shard(tensor) else tensor
    return gathered


def shard_offset(tensor: Tensor) -> int:
    """The place of a shard's first element in the whole tensor, where the shard is a stretch of it; else 0."""
    if not is_shard(tensor):
        return 0
    from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

    shard: Any = tensor
    _, starts = compute_local_shape_and_global_offset(shard.shape, shard.device_mesh, shard.placements)
    return int(starts[0]) * (tensor.numel() // max(tensor.shape[0], 1)) if starts else 0


def check_apart(params: Sequence[Tensor]) -> None:
    """ValueError where an element of one parameter is an element of another, or of itself, too: a step would write it
    twice, in an order that nothing defines."""
    spans = []
    for index, p in enumerate(params):
        if p.numel() and p.layout is torch.strided and address(p):
            start, extent = (
                address(p),
                1 + sum((size - 1) * stride for size, stride in zip(p.shape, p.stride(), strict=True)),
            )
            spans.append((str(p.device), start, start + extent * p.element_size(), index))
            if extent < p.numel() or (not is_flat(p) and len(np.unique(_addresses(p))) < p.numel()):
                raise ValueError(
                    f"parameter {index} of shape {tuple(p.shape)} overlaps itself in memory (strides {p.stride()}): "
                    "give the optimizer the tensor that it was expanded from"
                )
    spans.sort()
    reach: list[tuple[str, int, int, int]] = []  # those before that reach into the present one
    for span in spans:
        reach = [other for other in reach if other[0] == span[0] and other[2] > span[1]]
        for other in reach:
            _check_pair(params, other[3], span[3])
        reach.append(span)


def _check_pair(params: Sequence[Tensor], one: int, two: int) -> None:
    if len(np.intersect1d(_addresses(params[one]), _addresses(params[two]))):
        one, two = sorted((one, two))
        raise ValueError(
            f"parameters {one} and {two}, of shapes {tuple(params[one].shape)} and {tuple(params[two].shape)}, share "
            "memory: give the optimizer the tensor that both are views of, once"
        )


def _addresses(p: Tensor) -> npt.NDArray[np.int64]:
    """The address of every element."""
    addresses = np.array([p.data_ptr()], dtype=np.int64)
    for size, stride in zip(p.shape, p.stride(), strict=True):
        addresses = np.add.outer(addresses, np.arange(size, dtype=np.int64) * stride * p.element_size()).ravel()
    return addresses
