"""A step's own precision: autocast is for the operations of a model, and may be on around a step."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch


def as_written(device: torch.device) -> AbstractContextManager[Any]:
    """A context in which torch's operations on a device take the dtypes that they are given."""
    kind = device.type
    if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
        return torch.autocast(kind, enabled=False)
    return nullcontext()
