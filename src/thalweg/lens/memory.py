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
PLAIN, FLOAT32 = {Tensor, torch.nn.Parameter}, {torch.float32}
_dtype, _on_cpu = attrgetter("dtype"), attrgetter("is_cpu")


def addresses(tensors: Sequence[Any], least: Sequence[int] | Integers) -> Integers | None:
    """Where the tensors lie; None where one is not float32 numbers in the CPU's memory, one after another, at least so
    many of them."""
    if not ({*map(type, tensors)} <= PLAIN and {*map(_dtype, tensors)} == FLOAT32 and compiles()):
        return None
    if not (all(map(_on_cpu, tensors)) and all(map(Tensor.is_contiguous, tensors))):
        return None
    found = np.fromiter(map(Tensor.data_ptr, tensors), np.int64, len(tensors))
    enough = all(map(ge, map(Tensor.numel, tensors), least))
    there = (found != 0) | (np.asarray(least) == 0)  # a freed storage has no address, and nothing needs none
    return found if enough and there.all() else None


def gather(places: Integers, sizes: Integers, strides: Integers, count: int) -> Tensor:
    """Every so many'th element of each tensor, one tensor after another; `count` in all."""
    out = torch.empty(count, device="cpu")
    _loops().gather(places, sizes, strides, out.numpy())
    return out


def squares(places: Integers, sizes: Integers) -> npt.NDArray[np.float64]:
    """The sum of squares of each tensor."""
    out = np.empty(len(places))
    _loops().squares(places, sizes, out)
    return out


def sums(values: Sequence[Tensor], counts: Integers) -> npt.NDArray[np.float64]:
    """For each row of float32 numbers the sums of its parts, one after another, which are `counts` long."""
    out = np.zeros((len(values), len(counts)))
    add_up = _loops().add_up
    for row, each in zip(out, values, strict=True):
        add_up(each.numpy(), counts, row)
    return out


@cache
def compiles() -> bool:
    """Whether Numba compiles; where it is told not to, its loops are none of Python's either."""
    from numba import config

    return not getattr(config, "DISABLE_JIT", 0)


@cache
def _loops() -> Any:
    from thalweg.lens import memory_loops

    return memory_loops
