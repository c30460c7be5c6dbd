"""Gradients that shrink or grow from layer to layer."""

from __future__ import annotations

from statistics import median

from thalweg.lens.finding import Evidence, Finding
from thalweg.lens.record import Record

VANISHED = 1e-3  # the first matrix's gradient over the last one's, by root mean square
EXPLODED = 50.0  # norm of all gradients in the first steps; sound runs had at most 6
EARLY = 8


def vanishing(record: Record) -> Finding | None:
    """Over the first steps, as later ones may have small gradients for good reasons."""
    ratios, names = [], ("", "")
    for step in list(record.tensors)[:EARLY]:
        weights = [(name, each) for name, each in record.tensors[step].items() if name.endswith("weight")]
        if len(weights) < 4:
            return None
        (first, a), (last, b) = weights[0], weights[-1]
        names = first, last
        if b.gradient > 0:
            ratios.append(((a.gradient / a.size) / (b.gradient / b.size)) ** 0.5)
    if len(ratios) < 3 or not (ratio := median(ratios)) < VANISHED:
        return None
    facts = {"first": names[0], "last": names[1], "ratio": ratio}
    return Finding("vanishing_gradients", Evidence.RULE_OF_THUMB, facts, names[:1], 3)


def exploding(record: Record) -> Finding | None:
    """At the first step, before the learning rate has any part in it."""
    norm = record.sum(next(iter(record.tensors)), "gradient") ** 0.5
    loss = next(iter(record.losses.values()), float("nan"))
    if record.steps < 3 or not norm > EXPLODED:
        return None
    return Finding("exploding_gradients", Evidence.RULE_OF_THUMB, {"norm": norm, "loss": loss}, (), 1)
