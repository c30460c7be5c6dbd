"""Elements and sums of many tensors of the CPU's memory by one call each.

torch takes a call a tensor: to join the 84 tensors of a small model took 0.6 ms, which a step that is watched needs
five times; by their addresses it is 0.03.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from operator import attrgetter, ge
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Integers = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
PLAIN, FLOAT32 = {Tensor, torch.nn.Parameter}, {torch.float32}
_dtype, _on_cpu = attrgetter("dtype"), attrgetter("is_cpu")


def addresses(tensors: Sequence[Any], least: Sequence[int]) -> Integers | None:
    """Where the tensors lie; None where one is not float32 numbers in the CPU's memory, one after another, at least so
    many of them."""
    if not ({*map(type, tensors)} <= PLAIN and {*map(_dtype, tensors)} == FLOAT32 and compiles()):
        return None
    if not (all(map(_on_cpu, tensors)) and all(map(Tensor.is_contiguous, tensors))):
        return None
    if not all(map(ge, map(Tensor.numel, tensors), least)):
        return None
    found = np.fromiter(map(Tensor.data_ptr, tensors), np.int64, len(tensors))
    there = found.all() or ((found != 0) | (np.array(least) == 0)).all()  # nothing needs no address
    return found if there else None


def square(tensor: Tensor, count: int) -> float | None:
    """The sum of squares of a tensor's first numbers; None where `addresses` would be."""
    if type(tensor) not in PLAIN or tensor.dtype is not torch.float32 or not compiles():
        return None
    if not (tensor.is_cpu and tensor.is_contiguous() and tensor.numel() >= count and (place := tensor.data_ptr())):
        return None
    return float(_loops().square(place, count))


def gather(places: Integers, sizes: Integers, strides: Integers, count: int) -> Tensor:
    """Every so many'th element of each tensor, one tensor after another; `count` in all."""
    out = torch.empty(count, device="cpu")
    _loops().gather(places, sizes, strides, out.numpy())
    return out


def squares(places: Integers, sizes: Integers) -> Numbers:
    """The sum of squares of each tensor."""
    out = np.empty(len(places))
    _loops().squares(places, sizes, out)
    return out


def products(places: Integers, sizes: Integers, strides: Integers, other: Tensor) -> tuple[float, float, float]:
    """Of what `gather` would read with as many other numbers, and of each with itself."""
    found: tuple[float, float, float] = _loops().products(places, sizes, strides, other.numpy())
    return found


def step_sums(
    values: Sequence[Tensor], decays: Sequence[float], floors: Sequence[float], counts: Integers, out: Numbers
) -> Tensor:
    """A step, and in `out` what it adds up to, a column a tensor.

    Args:
        values: numbers after and before it, gradients and second moments.
        decays: the shares of each tensor's numbers that decoupled decay took.
        floors: the second moments under which eps rules.
        counts: numbers of each tensor.
        out: seven rows.
    """
    step = torch.empty_like(values[0])
    arrays = (each.numpy() for each in (*values, step))
    _loops().step_sums(*arrays, np.array(decays), np.array(floors), counts, out)
    return step


def sums(values: Sequence[Tensor], counts: Integers) -> Numbers:
    """For each row of float32 numbers the sums of its parts, one after another, which are `counts` long."""
    out = np.zeros((len(values), len(counts)))
    add_up = _loops().add_up
    for row, each in zip(out, values, strict=True):
        add_up(each.numpy(), counts, row)
    return out


def wake(places: Integers, shapes: Integers, seen: Flags, still: Flags) -> None:
    """Rows of the tensors that are not zero are `still` no longer, of those that were; as `still_rows` tells it."""
    _loops().wake(places, shapes, seen, still)


@cache
def compiles() -> bool:
    """Whether Numba compiles; where it is told not to, its loops are none of Python's either."""
    from numba import config

    return not getattr(config, "DISABLE_JIT", 0)


@cache
def _loops() -> Any:
    from thalweg.lens import memory_loops

    return memory_loops
