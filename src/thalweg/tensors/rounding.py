"""How float16 and bfloat16 parameters keep what a step adds to them: four ways to round, told in torch operations.

Rules work in float32, with float32 state, whatever the parameter's dtype. A bfloat16 1.0 has no neighbor nearer than
0.0078: rounding to the nearest loses every smaller step. So `rounding` is one of

- 'stochastic' (the default): up or down at random, so that the mean is right. The random bits are a function of the
  step, the element's place in its parameter and its value before, and of nothing else: the same whatever the number of
  threads, in every replica and shard, in whatever optimizer the parameter is, and after resume. No memory.
- 'kahan': what rounding cut off is kept beside the parameter, in its dtype, and added before the next step.
- 'master': the parameter is the rounding of a float32 copy that is the true one.
- 'nearest': as torch does it.

A parameter that somebody has written between two steps is believed: what was kept beside it is dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from thalweg.tensors.layout import is_flat

Tensor = torch.Tensor
HALVES = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Rounding:
    """One way: what is kept beside the parameter, and how to read and write the pair as float32."""

    name: str
    kept: str  # the name in the state; empty where nothing is kept
    kept_dtype: Callable[[torch.dtype], torch.dtype]
    load: Callable[[Tensor, Tensor | None], Tensor]
    save: Callable[[Tensor, Tensor | None, Tensor, Noise], None]


@dataclass(frozen=True)
class Noise:
    """Where random bits come from: the keys of a step, and the places of the elements in the parameter, which are those
    from `offset` on, or (a sparse gradient) `rows` of `width`."""

    keys: int
    offset: int = 0
    rows: Tensor | None = None
    width: int = 0

    def indices(self, count: int) -> Tensor:
        """The place of each element."""
        if self.rows is None:
            return torch.arange(self.offset, self.offset + count, device="cpu")
        columns = torch.arange(self.width, device="cpu")
        return (self.offset + self.rows.cpu()[:, None] * self.width + columns).flatten()


def keys(step: float) -> int:
    """64 bits that differ for every step (splitmix64)."""
    x = (int(step) * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return x ^ (x >> 31)


def random_bits(before: Tensor, noise: Noise) -> Tensor:
    """32 random bits an element, as int64 (torch has no shifts of unsigned 32): murmur3's mixer, keyed twice.

    `before`: the elements as they were, in their order in memory. Without them parameters of one shape would all be
    rounded by the same bits.
    """
    low, high = noise.keys & 0xFFFFFFFF, noise.keys >> 32
    pattern = before.view(torch.int16).to("cpu", torch.int64) & 0xFFFF
    x = noise.indices(before.numel()) & 0xFFFFFFFF
    x = (x * 0x9E3779B1 + pattern * 0x85EBCA77 + low) & 0xFFFFFFFF
    x = ((x ^ (x >> 16)) * 0x85EBCA6B) & 0xFFFFFFFF
    x = ((x ^ (x >> 13) ^ high) * 0xC2B2AE35) & 0xFFFFFFFF
    return x ^ (x >> 16)


def round_stochastically(x: Tensor, dtype: torch.dtype, bits: Tensor) -> Tensor:
    """float32 to float16 or bfloat16, up or down with the probabilities that make the mean right."""
    pattern = x.contiguous().view(torch.int32)
    if dtype == torch.bfloat16:
        pattern = (pattern + (bits & 0xFFFF).to(torch.int32)) & ~0xFFFF
        return torch.where(x != x, x, pattern.view(torch.float32)).to(dtype)
    rounded = ((pattern + (bits & 0x1FFF).to(torch.int32)) & ~0x1FFF).view(torch.float32)
    # Below 2^-14 the float16 are 2^-24 apart, whatever the exponent.
    fine = torch.floor(x * 2.0**24 + (bits & 0xFFFF).float() * 2.0**-16) * 2.0**-24
    rounded = torch.where(x.abs() < 2.0**-14, fine, rounded)
    return torch.where(x.isfinite(), rounded, x).to(dtype)


def _load(p: Tensor, kept: Tensor | None) -> Tensor:
    return p.float()


def _load_master(p: Tensor, kept: Tensor | None) -> Tensor:
    assert kept is not None
    return torch.where(kept.to(p.dtype) == p, kept, p.float())


def _load_kahan(p: Tensor, kept: Tensor | None) -> Tensor:
    assert kept is not None
    full = p.float() + kept.float()
    return torch.where(full.to(p.dtype) == p, full, p.float())


def _save_nearest(p: Tensor, kept: Tensor | None, new: Tensor, noise: Noise) -> None:
    p.copy_(new)


def _save_stochastic(p: Tensor, kept: Tensor | None, new: Tensor, noise: Noise) -> None:
    # An element's place is its place in memory, which is where a kernel counts; with gaps there, its place in order.
    order = p.stride() if is_flat(p) else torch.empty(p.shape, device="meta").stride()
    before = torch.empty_strided(p.shape, order, dtype=p.dtype, device=p.device).copy_(p)
    bits = random_bits(before.as_strided((p.numel(),), (1,)), noise).to(new.device)
    p.copy_(round_stochastically(new.contiguous(), p.dtype, bits.as_strided(p.shape, order)))


def _save_kahan(p: Tensor, kept: Tensor | None, new: Tensor, noise: Noise) -> None:
    assert kept is not None
    p.copy_(new)
    cut = new - p.float()
    kept.copy_(torch.where(cut.isfinite(), cut, 0.0))


def _save_master(p: Tensor, kept: Tensor | None, new: Tensor, noise: Noise) -> None:
    assert kept is not None
    p.copy_(new)
    kept.copy_(new)


FULL = Rounding("full", "", lambda dtype: dtype, lambda p, kept: p, _save_nearest)
ROUNDINGS = {
    "stochastic": Rounding("stochastic", "", lambda dtype: dtype, _load, _save_stochastic),
    "kahan": Rounding("kahan", "compensation", lambda dtype: dtype, _load_kahan, _save_kahan),
    "master": Rounding("master", "master", lambda dtype: torch.float32, _load_master, _save_master),
    "nearest": Rounding("nearest", "", lambda dtype: dtype, _load, _save_nearest),
}


def rounding_of(dtype: torch.dtype, rounding: str) -> Rounding:
    """How a parameter of this dtype is kept."""
    return ROUNDINGS[rounding] if dtype in HALVES else FULL
