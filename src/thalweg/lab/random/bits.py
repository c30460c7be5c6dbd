"""32 random bits an element, as a function of a key and the element's place: no state, so no order to keep.

murmur3's mixer, keyed twice. Written twice: as a loop that Numba vectorizes, for CPU tensors, and in torch operations
for every other device; both give the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from types import ModuleType

import numpy as np
import numpy.typing as npt
import torch

from thalweg.tensors.rounding import keys as mix

Tensor = torch.Tensor
Keys = npt.NDArray[np.uint32]  # a row for each stream: two words


def keys_of(roots: Sequence[int], *purpose: int) -> Keys:
    """The key of each root for one purpose, such as (step, call)."""
    rows = []
    for root in roots:
        key = root
        for number in purpose:
            key = mix(key ^ mix(number))
        rows.append((key & 0xFFFFFFFF, key >> 32))
    return np.array(rows, dtype=np.uint32)


def fill_bits(keys: Keys, count: int, device: torch.device) -> Tensor:
    """(streams, count) numbers below 2^32, as int64."""
    if device.type != "cpu":
        return bits_by_torch(keys, count, device)
    out = torch.empty(len(keys), count, dtype=torch.int64, device="cpu")
    _loops().fill_bits(keys, out.numpy())
    return out


def fill_mask(keys: Keys, count: int, drop: float, kept: float, device: torch.device) -> Tensor:
    """(streams, count) float32: 0 with the probability `drop`, else `kept`."""
    limit = min(2**32, round(drop * 2**32))
    if device.type != "cpu":
        return (bits_by_torch(keys, count, device) >= limit).float() * kept
    out = torch.empty(len(keys), count, device="cpu")
    _loops().fill_mask(keys, limit, np.float32(kept), out.numpy())
    return out


def bits_by_torch(keys: Keys, count: int, device: torch.device) -> Tensor:
    """The same bits on any device."""
    words = torch.from_numpy(keys.astype(np.int64)).to(device)
    low, high = words[:, :1], words[:, 1:]
    x = (torch.arange(count, device=device) * 0x9E3779B1 + low) & 0xFFFFFFFF
    x = ((x ^ (x >> 16)) * 0x85EBCA6B) & 0xFFFFFFFF
    x = ((x ^ (x >> 13) ^ high) * 0xC2B2AE35) & 0xFFFFFFFF
    return x ^ (x >> 16)


@cache
def _loops() -> ModuleType:
    """Imported when first needed: Numba takes half a second."""
    from thalweg.lab.random import loops

    return loops
