"""32 random bits an element, as a function of a key and the element's place: no state, so no order to keep.

murmur3's mixer, keyed twice. Written twice: as a loop that Numba vectorises, for CPU tensors, and in torch operations
for every other device; both give the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from thalweg.storage import keys as mix

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
    if device.type == "cpu":
        out = torch.empty(len(keys), count, dtype=torch.int64)
        _loops()[0](keys, out.numpy())
        return out
    words = torch.from_numpy(keys.astype(np.int64)).to(device)
    low, high = words[:, :1], words[:, 1:]
    x = (torch.arange(count, device=device) * 0x9E3779B1 + low) & 0xFFFFFFFF
    x = ((x ^ (x >> 16)) * 0x85EBCA6B) & 0xFFFFFFFF
    x = ((x ^ (x >> 13) ^ high) * 0xC2B2AE35) & 0xFFFFFFFF
    return x ^ (x >> 16)


def fill_mask(keys: Keys, count: int, drop: float, kept: float, device: torch.device) -> Tensor:
    """(streams, count) float32: 0 with the probability `drop`, else `kept`."""
    limit = min(2**32, round(drop * 2**32))
    if device.type == "cpu":
        out = torch.empty(len(keys), count)
        _loops()[1](keys, limit, np.float32(kept), out.numpy())
        return out
    return (fill_bits(keys, count, device) >= limit).float() * kept


@cache
def _loops() -> tuple[Callable[..., None], Callable[..., None]]:
    """Compiled when first needed: Numba takes half a second to import."""
    import numba

    word: Any = np.uint32
    options = {"cache": True, "nogil": True, "error_model": "numpy"}

    @numba.njit(inline="always", **options)
    def mixed(place: Any, low: Any, high: Any) -> Any:
        x = word(word(place) * word(0x9E3779B1) + low)
        x = word((x ^ (x >> word(16))) * word(0x85EBCA6B))
        x = word((x ^ (x >> word(13)) ^ high) * word(0xC2B2AE35))
        return word(x ^ (x >> word(16)))

    @numba.njit(**options)
    def bits(keys: Any, out: Any) -> None:
        for row in range(len(keys)):
            low, high = keys[row, 0], keys[row, 1]
            line = out[row]
            for place in range(len(line)):
                line[place] = mixed(place, low, high)

    @numba.njit(**options)
    def mask(keys: Any, limit: Any, kept: Any, out: Any) -> None:
        for row in range(len(keys)):
            low, high = keys[row, 0], keys[row, 1]
            line = out[row]
            for place in range(len(line)):
                line[place] = kept if np.int64(mixed(place, low, high)) >= limit else np.float32(0)

    return bits, mask
