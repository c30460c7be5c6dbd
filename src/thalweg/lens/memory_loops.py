"""The loops of `memory`, compiled by Numba: imported with the first step that is watched, as Numba takes a while."""

from __future__ import annotations

from typing import Any

from numba import carray, float32, njit, types  # type: ignore[attr-defined]
from numba.extending import intrinsic

from thalweg.engines import machine_code

OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True, "fastmath": {"contract", "nsz", "reassoc"}}


def _pointer(typing_context: Any, address: Any) -> Any:
    """The memory at an address, as a pointer to numbers."""

    def make(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(float32)(types.int64), make  # type: ignore[no-untyped-call]


at: Any = intrinsic(_pointer)


@njit(**OPTIONS)
def gather(addresses, sizes, strides, out):  # type: ignore[no-untyped-def]
    place = 0
    for t in range(len(addresses)):
        own = carray(at(addresses[t]), sizes[t])
        for i in range(0, sizes[t], strides[t]):
            out[place] = own[i]
            place += 1


@njit(**OPTIONS)
def squares(addresses, sizes, out):  # type: ignore[no-untyped-def]
    for t in range(len(addresses)):
        own = carray(at(addresses[t]), sizes[t])
        total = 0.0
        for i in range(sizes[t]):
            wide = types.float64(own[i])
            total += wide * wide
        out[t] = total


@njit(**OPTIONS)
def add_up(values, counts, out):  # type: ignore[no-untyped-def]
    first = 0
    for t in range(len(counts)):
        total = 0.0
        for i in range(first, first + counts[t]):
            total += types.float64(values[i])
        out[t] = total
        first += counts[t]


machine_code.keep(gather, squares, add_up)
