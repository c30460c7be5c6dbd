"""What Numba compiles for lanes on a CPU. Imported where it is needed, as Numba takes a third of a second."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from thalweg.engines import machine_code


@numba.njit(nogil=True, error_model="numpy")
def largest(x: Any, out: Any, where: Any) -> None:
    """The largest of each 2 x 2, and where in its image that is, as torch finds them."""
    width = np.int32(x.shape[2])
    for image in range(len(out)):
        for row in range(out.shape[1]):
            for column in range(out.shape[2]):
                place = np.int32(2 * row * width + 2 * column)
                best, at = x[image, 2 * row, 2 * column], place
                other = x[image, 2 * row, 2 * column + 1]
                better = other > best or other != other
                best, at = other if better else best, place + np.int32(1) if better else at
                other = x[image, 2 * row + 1, 2 * column]
                better = other > best or other != other
                best, at = other if better else best, place + width if better else at
                other = x[image, 2 * row + 1, 2 * column + 1]
                better = other > best or other != other
                best, at = other if better else best, place + width + np.int32(1) if better else at
                out[image, row, column] = best
                where[image, row, column] = at


machine_code.keep(largest)
