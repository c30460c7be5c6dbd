"""float16 and bfloat16 in CUDA kernels: the numbers of `thalweg.tensors.rounding`, to the same bits.

Kernels move 16-bit patterns. bfloat16 are made of them by shifts: Triton's interpreter cuts where the GPU rounds, and
what is not computed alike on both is not tested.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from thalweg.tensors.rounding import Rounding

CONVERSIONS = {
    torch.bfloat16: '''
@triton.jit
def widen(bits):
    """A 16-bit pattern as a float32."""
    return (bits.to(tl.uint32) << 16).to(tl.float32, bitcast=True)


@triton.jit
def nearest(x):
    """The nearest 16-bit pattern, ties to even."""
    pattern = x.to(tl.uint32, bitcast=True)
    rounded = (pattern + ((pattern >> 16) & 1) + 0x7FFF) >> 16
    return tl.where(x != x, 0x7FC0, rounded).to(tl.uint16)

''',
    torch.float16: '''
@triton.jit
def widen(bits):
    """A 16-bit pattern as a float32."""
    return bits.to(tl.float16, bitcast=True).to(tl.float32)


@triton.jit
def nearest(x):
    """The nearest 16-bit pattern, ties to even."""
    return x.to(tl.float16).to(tl.uint16, bitcast=True)

''',
}
RANDOM_BITS = '''
@triton.jit
def random_bits(place, before, low, high):
    """32 random bits for the element at a place with a value: murmur3's mixer, keyed twice."""
    x = place * 0x9E3779B1 + before.to(tl.uint32) * 0x85EBCA77 + low
    x = (x ^ (x >> 16)) * 0x85EBCA6B
    x = (x ^ (x >> 13) ^ high) * 0xC2B2AE35
    return x ^ (x >> 16)

'''
STOCHASTIC = {
    torch.bfloat16: '''
@triton.jit
def stochastic(x, noise):
    """One of the two neighbors, so that the mean is right."""
    pattern = x.to(tl.uint32, bitcast=True) + (noise & 0xFFFF)
    return tl.where(x != x, 0x7FC0, pattern >> 16).to(tl.uint16)

''',
    torch.float16: '''
@triton.jit
def stochastic(x, noise):
    """One of the two neighbors, so that the mean is right. Below 2^-14 they are 2^-24 apart, whatever the exponent."""
    pattern = (x.to(tl.uint32, bitcast=True) + (noise & 0x1FFF)) & 0xFFFFE000
    fine = tl.floor(x * 16777216.0 + (noise & 0xFFFF).to(tl.float32) * 0.0000152587890625) * 0.000000059604644775390625
    rounded = tl.where(tl.abs(x) < 0.00006103515625, fine, pattern.to(tl.float32, bitcast=True))
    return nearest(tl.where(tl.abs(x) < float("inf"), rounded, x))

''',
}
POINTER = dict(float32="float32", float64="float64", float16="uint16", bfloat16="uint16", uint8="uint8")


class Form:
    """The lines that differ from a kernel of whole numbers, for one dtype and one storage."""

    def __init__(self, dtype: torch.dtype, storage: Rounding, p: str) -> None:
        self.p, self.storage = p, storage.name
        self.short = str(dtype).removeprefix("torch.")
        self.name = f"{self.short} ({storage.name})"
        self.stochastic = storage.name == "stochastic"
        self.words = CONVERSIONS[dtype] + (RANDOM_BITS + STOCHASTIC[dtype] if self.stochastic else "")
        kept = str(storage.kept_dtype(dtype)).removeprefix("torch.")
        self.kept = {"__kept": kept} if storage.kept else {}

    def widened(self, halved: Iterable[str]) -> list[str]:
        """To float32; what is kept beside the parameter counts only as long as it rounds to the parameter."""
        p, lines = self.p, [f"__old = {self.p}"]
        lines += [f"{name} = widen({name})" for name in halved]
        if self.kept:
            lines.append(f"__full = {p} + widen(__kept)" if self.storage == "kahan" else "__full = __kept")
            lines.append(f"{p} = tl.where(nearest(__full) == __old, __full, {p})")
        return lines

    def rounding_lines(self, at: str) -> tuple[list[str], list[tuple[str, str]]]:
        """The lines that round a new parameter, and what is stored: (pointer, value). `at`: the elements' places in
        the chunk."""
        p = self.p
        if self.stochastic:
            return [f"__new = stochastic({p}, random_bits(__place + {at}.to(tl.uint32), __old, __low, __high))"], [
                (p, "__new")
            ]
        lines, stores = [f"__new = nearest({p})"], [(p, "__new")]
        if self.storage == "kahan":
            lines.append(f"__cut = {p} - widen(__new)")
            lines.append("__cut = nearest(tl.where(__cut - __cut == 0.0, __cut, 0.0))")
            stores.append(("__kept", "__cut"))
        if self.storage == "master":
            stores.append(("__kept", p))
        return lines, stores
