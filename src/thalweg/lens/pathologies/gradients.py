"""Gradients that shrink or grow from layer to layer."""

from __future__ import annotations

from statistics import median

from thalweg.lens.finding import Evidence, Finding
from thalweg.lens.record import Record

VANISHED = 1e-3  # the first matrix's gradient over the last one's, by root mean square
EXPLODED = 15.0  # relative change of the loss over that of the weights; sound runs had 0.6 to 1.1, planted 36 to 73
EARLY = 8
LAYERS = ("matrix", "convolution", "head", "experts")


def vanishing(record: Record) -> Finding | None:
    """Over the first steps, as later ones may have small gradients for good reasons."""
    ratios, names = [], ("", "")
    for step in list(record.tensors)[:EARLY]:
        weights = [(name, each) for name, each in record.tensors[step].items() if record.roles.get(name) in LAYERS]
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
    """How sensitive the loss is to the layers' weights at the first step: |gradient| x |weights| / loss.

    No scale changes it, and the learning rate has no part in it yet. Embeddings are left out: their length is large by
    convention, and most of a table has no part in a batch.
    """
    first = next(iter(record.tensors))
    loss = record.losses.get(first, 0.0)
    if record.steps < 3 or not loss > 0:
        return None
    layers = [each for name, each in record.tensors[first].items() if record.roles.get(name) in LAYERS]
    norm, weight = (sum(getattr(each, part) for each in layers) ** 0.5 for part in ("gradient", "weight"))
    if not (ratio := norm * weight / loss) > EXPLODED:
        return None
    facts = {"ratio": ratio, "norm": norm, "loss": loss}
    return Finding("exploding_gradients", Evidence.RULE_OF_THUMB, facts, (), 1)
