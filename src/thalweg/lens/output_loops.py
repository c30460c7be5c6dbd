"""The loops of `output`, compiled by Numba: imported with the first output that is read."""

from __future__ import annotations

import math

from numba import njit

from thalweg.engines import machine_code
from thalweg.lens.memory_loops import OPTIONS

LABEL, SIZE, OF_LABEL, WRONG, LOSS, TOP = range(6)  # columns of `rows`


@njit(**OPTIONS)
def of_rows(z, g, rows):  # type: ignore[no-untyped-def]
    """Each row's label, its gradient's L1 norm, the probability of the label and of all others, its loss, the largest
    probability; whether every row's gradients cancel, up to rounding."""
    classes, most, even = z.shape[1], 0.0, True
    for r in range(len(z)):
        size = 0.0
        for c in range(classes):
            size += abs(g[r, c])
        rows[r, SIZE] = size
        most = max(most, size)
    for r in range(len(z)):
        summed, least, top = 0.0, 0, 0
        for c in range(classes):
            summed += g[r, c]
            least = c if g[r, c] < g[r, least] else least
            top = c if z[r, c] > z[r, top] else top
        even = even and abs(summed) <= 0.02 * rows[r, SIZE] + 1e-3 * most  # of what is not finite it is not
        label = least if g[r, least] < 0 else top  # a row that is sure of its label may have no negative part left
        others = 0.0
        for c in range(classes):
            if c != label:
                others += math.exp(z[r, c] - z[r, top])
        every = others + math.exp(z[r, label] - z[r, top])
        rows[r, LABEL], rows[r, OF_LABEL], rows[r, TOP] = label, 1 - others / every, 1 / every
        rows[r, WRONG] = others / every  # 1 - p of the label, without its cancellation
        rows[r, LOSS] = math.log(every) + z[r, top] - z[r, label]
    return even


@njit(**OPTIONS)
def summary(rows, counts):  # type: ignore[no-untyped-def]
    """How many rows are used, those that are padded have no gradient; mean and deviation of the factor that the
    gradients have, over those that are not sure; mean loss; shares that are contradicted, and sure. Counts labels."""
    used, clear, loss, contradicted, sure, least = 0, 0, 0.0, 0, 0, 0.0
    for r in range(len(rows)):
        if rows[r, SIZE] > 0:
            used += 1
            loss += rows[r, LOSS]
            contradicted += rows[r, OF_LABEL] < 0.1 and rows[r, TOP] > 0.5
            sure += rows[r, OF_LABEL] > 0.5
            least = max(least, rows[r, WRONG])
            counts[int(rows[r, LABEL])] += 1
    least = min(least, 1e-3)  # the least sure of rows that are all sure
    total, squares = 0.0, 0.0
    for r in range(len(rows)):
        if rows[r, SIZE] > 0 and rows[r, WRONG] >= least and rows[r, WRONG] > 0:
            clear += 1
            total += rows[r, SIZE] / 2 / rows[r, WRONG]
    mean = total / clear if clear else math.nan
    for r in range(len(rows)):
        if rows[r, SIZE] > 0 and rows[r, WRONG] >= least and rows[r, WRONG] > 0:
            squares += (rows[r, SIZE] / 2 / rows[r, WRONG] - mean) ** 2
    deviation = math.sqrt(squares / clear) if clear else math.nan
    some = max(used, 1)
    return used, mean, deviation, loss / some, contradicted / some, sure / some


@njit(**OPTIONS)
def offset_and_spread(z):  # type: ignore[no-untyped-def]
    """The mean of all, and the rows' mean deviation."""
    offset, spread, classes = 0.0, 0.0, z.shape[1]
    for r in range(len(z)):
        mean, squares = 0.0, 0.0
        for c in range(classes):
            mean += z[r, c] / classes
        for c in range(classes):
            squares += (z[r, c] - mean) ** 2
        offset += mean / len(z)
        spread += math.sqrt(squares / (classes - 1)) / len(z)
    return offset, spread


machine_code.keep(of_rows, summary, offset_and_spread)
