"""Chance by counting: the normals of a seed, a step and a coordinate, with the same bits in Python and JavaScript.

Each is the sum of 12 uniform numbers of 32 bits, less 6: deviation 1, nothing beyond 6, and no logarithm in it, whose
last bit would be the machine's.
"""

from __future__ import annotations

MASK = 0xFFFFFFFF


def mixed(x: int) -> int:
    """32 bits, each of which depends on all of x."""
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & MASK
    x = ((x ^ (x >> 15)) * 0x846CA68B) & MASK
    return x ^ (x >> 16)


def normal(seed: int, step: int, coordinate: int) -> float:
    """One number."""
    key = mixed((mixed((mixed(seed & MASK) + step) & MASK) + coordinate) & MASK)
    return sum(mixed((key + 0x9E3779B9 * k) & MASK) for k in range(1, 13)) / 2**32 - 6


def deviation(noise: float, batch: int) -> float:
    """Of the mean of a batch's gradients; a batch of 0 is all of the data, without chance."""
    return noise / batch**0.5 if batch else 0.0
