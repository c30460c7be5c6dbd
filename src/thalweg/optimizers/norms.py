"""The Euclidean norm of all gradients together: in double precision, of whatever dtype, on however many processes.

A float16 holds no norm above 65504, and the square of a float32 1e25 is infinite, that of 1e-25 zero. So norms are
added up in double, and where numbers were too large or too small for their own squares, they are divided by the largest
first. Parts of a DTensor are added up over the processes that hold them, and where `group` is given, what each of its
processes has over these.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch

from thalweg.plan.process_groups import reduced
from thalweg.tensors.layout import is_shard, local, real
from thalweg.tensors.rounding import HALVES

Tensor = torch.Tensor
Scaled = tuple[Tensor, float]  # a tensor and what it is multiplied by
Norms = Callable[[Sequence[Tensor]], Sequence[Tensor]]

# Below this norm a float32's squares may have been lost. Above it, what was lost is less than rounding.
TINY = 1e-12
PIECE = 1 << 18  # elements that are converted at a time: they stay in the cache


def total_norm(gradients: Sequence[Tensor | None], scales: Sequence[float], group: Any = None) -> float:
    """The norm, as the host knows it. `scales`: what each gradient is multiplied by."""
    held = _by_holders(gradients, scales)
    device = _device(held)
    norm = float(_combined(held, group, device, _quick))
    if math.isnan(norm) or TINY < norm < math.inf:
        return norm
    largest = _largest(held, group, device)
    if largest == 0 or not math.isfinite(largest):
        return largest
    return largest * float(_combined(held, group, device, lambda tensors: [_exact(t, largest) for t in tensors]))


def total_norm_there(gradients: Sequence[Tensor | None], scales: Sequence[float], group: Any = None) -> Tensor:
    """The same, a float64 on the gradients' device, in operations that a CUDA graph can hold. Nothing waits."""
    held = _by_holders(gradients, scales)
    return _combined(held, group, _device(held), _wide)


def _by_holders(gradients: Sequence[Tensor | None], scales: Sequence[float]) -> dict[Any, list[Scaled]]:
    """The parts of gradients that this process has, by the process groups over which they are to be added up."""
    held: dict[Any, list[Scaled]] = {}
    for g, scale in zip(gradients, scales, strict=True):
        if g is not None:
            groups, part = _parted(g) if is_shard(g) else ((), g)
            values = part.coalesce().values() if part.layout is not torch.strided else part
            if values.is_complex() or values.requires_grad:  # each view of a tensor takes longer than a small norm
                values = real(values.detach().resolve_conj())
            held.setdefault(groups, []).append((values, abs(scale)))
    return held


def _parted(g: Any) -> tuple[tuple[Any, ...], Tensor]:
    """The groups that hold a DTensor's parts, and this process's part."""
    if any(each.is_partial() for each in g.placements):
        from torch.distributed.tensor import Replicate

        g = g.redistribute(g.device_mesh, [Replicate() if each.is_partial() else each for each in g.placements])
    mesh = g.device_mesh
    return tuple(mesh.get_group(axis) for axis, each in enumerate(g.placements) if not each.is_replicate()), local(g)


def _device(held: dict[Any, list[Scaled]]) -> torch.device:
    return next((values.device for parts in held.values() for values, _ in parts), torch.device("cpu"))


def _combined(held: dict[Any, list[Scaled]], group: Any, device: torch.device, norms: Norms) -> Tensor:
    total = torch.zeros((), dtype=torch.float64, device=device)
    for groups, parts in held.items():
        found = _stacked(norms([values for values, _ in parts]), device)
        if any(scale != 1 for _, scale in parts):
            found = found * torch.tensor([scale for _, scale in parts], dtype=torch.float64, device=device)
        total = total + _over(groups, found.square().sum())
    return _over([group] if group is not None else [], total).sqrt()


def _stacked(norms: Sequence[Tensor], device: torch.device) -> Tensor:
    """In double; converted together where they are of one kind."""
    if len({(norm.dtype, norm.device) for norm in norms}) > 1:
        norms = [norm.to(device, torch.float64) for norm in norms]
    return torch.stack(list(norms)).to(device, torch.float64)


def _over(groups: Iterable[Any], number: Tensor, largest: bool = False) -> Tensor:
    """The sum, or the largest, over the processes of these groups."""
    for group in groups:
        number = reduced(number, group, largest)
    return number


def _quick(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    """In each tensor's own precision, 16-bit ones in float32. On a GPU wider arithmetic costs nothing: it waits for
    memory. On the CPU it costs 5 times as much."""
    if any(t.device.type != "cpu" for t in tensors):
        return _wide(tensors)
    if any(t.dtype in HALVES for t in tensors):
        return [_halves(t) if t.dtype in HALVES else torch.linalg.vector_norm(t) for t in tensors]
    return torch._foreach_norm(list(tensors), 2)


def _halves(t: Tensor) -> Tensor:
    return _joined([torch.linalg.vector_norm(piece.float()) for piece in _pieces(t)])


def _wide(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    return torch._foreach_norm(list(tensors), 2, dtype=torch.float64)


def _exact(t: Tensor, largest: float) -> Tensor:
    """The norm of a tensor divided by a number, taken in double."""
    return _joined([torch.linalg.vector_norm(piece.double() / largest) for piece in _pieces(t)])


def _pieces(t: Tensor) -> Sequence[Tensor]:
    return torch.split(t.reshape(-1), PIECE)


def _joined(norms: Sequence[Tensor]) -> Tensor:
    whole: Tensor = torch.linalg.vector_norm(torch.stack(list(norms)))
    return whole


def _largest(held: dict[Any, list[Scaled]], group: Any, device: torch.device) -> float:
    found = torch.zeros((), dtype=torch.float64, device=device)
    for groups, parts in held.items():
        sizes = [scale * values.abs().max().to(device, torch.float64) for values, scale in parts if values.numel()]
        own = torch.stack([found, *sizes]).max()
        found = torch.maximum(found, _over(groups, own, largest=True))
    return float(_over([group] if group is not None else [], found, largest=True))
