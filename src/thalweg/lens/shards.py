"""Sums over the processes that hold the parts of one parameter (FSDP2, tensor parallel). None where nobody does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from thalweg.plan.process_groups import reduced


class Shards:
    """Which parameters are in parts, and with whom the other parts are."""

    def __init__(self, params: Sequence[Tensor]) -> None:
        self.groups = [_groups(p) for p in params]
        self.any = any(self.groups)

    def by_tensor(self, table: Tensor, which: Sequence[int]) -> Tensor:
        """A table of sums, a column a parameter, over all parts. Every process calls it, at the same step."""
        if not self.any:
            return table
        whole = table.clone()
        for group in dict.fromkeys(group for index in which for group in self.groups[index]):
            theirs = torch.tensor([group in self.groups[index] for index in which])
            whole[:, theirs] = reduced(whole[:, theirs], group)
        return whole


def _groups(param: Tensor) -> tuple[Any, ...]:
    """The process groups over which a parameter is cut."""
    mesh, placements = getattr(param, "device_mesh", None), getattr(param, "placements", ())
    if mesh is None:
        return ()
    return tuple(mesh.get_group(dim) for dim, place in enumerate(placements) if place.is_shard())


def whole_rows(param: Tensor) -> bool:
    """Whether a row of the parameter is on one process."""
    return all(not place.is_shard() or place.is_shard(0) for place in getattr(param, "placements", ()))
