"""Gradients that shrink or grow from layer to layer. Of a run that is resumed the first steps are not seen."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import median

from thalweg.lens.finding import Evidence, Finding
from thalweg.lens.record import LAYERS, Record
from thalweg.lens.tensor_step import TensorStep

VANISHED = 1e-3  # the first matrix's gradient over the last one's, by root mean square
EXPLODED = 10.0  # the same, each relative to its weights; sound runs had at most 3.7, a ResNet-18 2.5, planted 27 to 44
SWOLLEN = 5.0  # the first loss over that of guessing; sound runs had at most 1.3, planted 24 to 28
EARLY = 8
SETTLED = 32  # steps after which a loss that began too high by chance has come down


def vanishing(record: Record) -> Finding | None:
    """Over the first steps, as later ones may have small gradients for good reasons; not past a layer of zeros."""
    if record.begins_at_zero:
        return None
    first, last, ratio = _first_over_last(record, lambda each: each.gradient / each.size, 4)
    if not ratio < VANISHED:
        return None
    facts: dict[str, float | int | str] = {"first": first, "last": last, "ratio": ratio}
    return Finding("vanishing_gradients", Evidence.RULE_OF_THUMB, facts, (first,), 3)


def exploding(record: Record) -> Finding | None:
    """Gradients that grow on the way back, or a loss that is far above guessing at first and stays there for a while.

    The gradient's norm against the loss would not do: it grows with the width of a network, and without bound as a
    loss becomes small.
    """
    if record.resumed:
        return None
    first, last, ratio = _first_over_last(record, lambda each: each.gradient / each.weight if each.weight else 0.0, 3)
    if ratio > EXPLODED:
        facts: dict[str, float | int | str] = {"first": first, "last": last, "ratio": ratio}
        return Finding("exploding_gradients", Evidence.RULE_OF_THUMB, facts, (first,), 1, "exploding_gradients.layers")
    curve = record.curve()
    floor = next((each.floor for each in record.outputs.values()), None)
    if floor is None or record.steps < 3 or not curve or curve[0][0] > EARLY or curve[0][1] <= SWOLLEN * floor:
        return None
    late = median([loss for step, loss in curve if step <= SETTLED][-EARLY:])
    if late <= floor:
        return None
    facts = {"loss": curve[0][1], "floor": floor, "late": late, "steps": min(record.steps, SETTLED)}
    return Finding("exploding_gradients", Evidence.RULE_OF_THUMB, facts, (), 1)


def _first_over_last(record: Record, of: Callable[[TensorStep], float], fewest: int) -> tuple[str, str, float]:
    """The first and the last layer, and the root of a quantity's ratio over the first steps; NaN where it has none."""
    ratios, names = [], ("", "")
    for step in [] if record.resumed else list(record.tensors)[:EARLY]:
        layers = [(name, each) for name, each in record.tensors[step].items() if record.roles.get(name) in LAYERS]
        if len(layers) < fewest:
            continue
        (first, a), (last, b) = layers[0], layers[-1]
        names = first, last
        if of(b) > 0:
            ratios.append((of(a) / of(b)) ** 0.5)
    return *names, median(ratios) if len(ratios) >= 3 else math.nan
