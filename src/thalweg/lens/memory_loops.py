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
def square(address, size):  # type: ignore[no-untyped-def]
    own = carray(at(address), size)
    total = 0.0
    for i in range(size):
        wide = types.float64(own[i])
        total += wide * wide
    return total


@njit(**OPTIONS)
def squares(addresses, sizes, out):  # type: ignore[no-untyped-def]
    for t in range(len(addresses)):
        out[t] = square(addresses[t], sizes[t])


@njit(**OPTIONS)
def add_up(values, counts, out):  # type: ignore[no-untyped-def]
    first = 0
    for t in range(len(counts)):
        total = 0.0
        for i in range(first, first + counts[t]):
            total += types.float64(values[i])
        out[t] = total
        first += counts[t]


@njit(**OPTIONS)
def products(addresses, sizes, strides, others):  # type: ignore[no-untyped-def]
    place, both, one, other = 0, 0.0, 0.0, 0.0
    for t in range(len(addresses)):
        own = carray(at(addresses[t]), sizes[t])
        for i in range(0, sizes[t], strides[t]):
            a, b = types.float64(own[i]), types.float64(others[place])
            both += a * b
            one += a * a
            other += b * b
            place += 1
    return both, one, other


@njit(**OPTIONS)
def step_sums(now, old, gradient, second, step, decays, floors, counts, out):  # type: ignore[no-untyped-def]
    first = 0
    for t in range(len(counts)):
        weight, square, promise, moments, driven, ruled, lost = 0.0, 0.0, 0.0, 0.0, 0, 0, 0
        for i in range(first, first + counts[t]):
            moved = now[i] - old[i]
            taken = float32(moved + decays[t] * old[i])
            step[i] = taken
            weight += types.float64(old[i]) * old[i]
            square += types.float64(taken) * taken
            promise += types.float64(gradient[i]) * taken
            moments += types.float64(second[i])
            if gradient[i] != 0:
                driven += 1
                ruled += second[i] < floors[t]
                lost += moved == 0
        out[0, t], out[1, t], out[2, t] = weight, square, promise
        out[3, t], out[4, t], out[5, t], out[6, t] = driven, ruled, lost, moments
        first += counts[t]


@njit(**OPTIONS)
def wake_rows(address, first, rows, length, still):  # type: ignore[no-untyped-def]
    """Whether one of the rows that were still is no longer so."""
    own, woke = carray(at(address), rows * length), False
    for r in range(rows):
        if still[first + r]:
            for i in range(r * length, (r + 1) * length):
                if own[i] != 0:  # so is what is no number
                    still[first + r] = False
                    woke = True
                    break
    return woke


@njit(**OPTIONS)
def wake(addresses, shapes, seen, still):  # type: ignore[no-untyped-def]
    for bias in range(0, len(addresses), 2):
        woke = wake_rows(addresses[bias], shapes[bias, 0], shapes[bias, 1], shapes[bias, 2], still)
        weight = bias + 1
        if woke or not seen[weight]:
            wake_rows(addresses[weight], shapes[weight, 0], shapes[weight, 1], shapes[weight, 2], still)
            seen[weight] = True
        seen[bias] = True


machine_code.keep(gather, square, squares, add_up, products, step_sums, wake_rows, wake)
