"""Plans whose step counts and numbers live on the device: nothing of a step is known to the host, which never waits.

As with torch's classes that is so where a group has `capturable=True` (a CUDA graph holds the step) or `fused=True` (a
gradient scaler leaves unscaling to the step); here also where a setting is a CUDA tensor, and where the gradients are
clipped or steps left out. Elsewhere `state["step"]` lies on the CPU, and one row of numbers serves a whole group.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from thalweg.plan.members import Member
from thalweg.plan.plan import Plan
from thalweg.plan.quantized import QuantizedPlan
from thalweg.update.transforms import NUMBERS
from thalweg.update.update import Group, Update

Tensor = torch.Tensor


class DevicePlan(Plan):
    """A plan with a row for each tensor, which the engine fills on the device."""

    scale: float | Tensor = 1.0

    def _form_rows(self) -> None:
        self._ordered = list(dict.fromkeys(self.group_numbers))
        places = {number: place for place, number in enumerate(self._ordered)}
        self.group_of = np.array([places[number] for number in self.group_numbers], dtype=np.int64)
        self.row_of[:] = np.arange(len(self.group_numbers))

    @property
    def groups(self) -> list[Group]:
        """Those that its parameters are of."""
        assert self._held is not None
        return [self._held.groups[number] for number in self._ordered]

    def advance(self, scale: float | Tensor = 1.0) -> None:
        """The engine ages the tensors and works their numbers out."""
        self.scale = scale

    def uncounted(self) -> list[Member]:
        """The host does not know."""
        return []

    def close(self) -> None:
        self.let_go()


class QuantizedDevicePlan(QuantizedPlan, DevicePlan):
    """The same for parameters whose moments are kept small: the keys of their random bits are made there too."""


def needs_device(update: Update, group: Group, guarded: bool) -> bool:
    """True where a group's numbers are worked out on the device, if its engine can. `guarded`: the gradients' factor is
    known on the device alone."""
    if update.rule.per_tensor is not None or group["differentiable"]:
        return False
    return guarded or bool(group["capturable"] or group["fused"]) or _has_tensors(update, group)


def _has_tensors(update: Update, group: Mapping[str, Any]) -> bool:
    settings = (group[name] for name in (*update.rule.hyperparameters, *NUMBERS))
    leaves = (leaf for value in settings for leaf in (value if isinstance(value, (tuple, list)) else (value,)))
    return any(isinstance(leaf, Tensor) and leaf.device.type == "cuda" for leaf in leaves)
