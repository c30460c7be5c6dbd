"""Whose tensors a plan steps: what is the user's, for as long as a step lasts."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from thalweg.tensors.layout import shard_offset
from thalweg.update.update import Group

Tensor = torch.Tensor


class UserTensors(NamedTuple):
    """What is the user's, in a step: all parameters, this process's parts of them, the states, the groups."""

    params: Sequence[Tensor]
    parts: Sequence[Tensor]
    state: MutableMapping[Tensor, dict[str, Any]]
    groups: Sequence[Group]


@dataclass(frozen=True)
class Member:
    """A parameter in a plan: itself, what is kept for it, its group, its position in the ages, its group's number."""

    param: Tensor
    state: dict[str, Any]
    group: Group
    position: int
    number: int

    @property
    def offset(self) -> int:
        """The place of this process's first element in the whole parameter."""
        return shard_offset(self.param)

    def like(self, part: Tensor) -> Tensor:
        """This process's part of something as the DTensor that the parameter is."""
        from torch.distributed.tensor import DTensor

        param: Any = self.param
        return DTensor.from_local(
            part, param.device_mesh, param.placements, shape=param.shape, stride=param.stride(), run_check=False
        )
