"""Mistakes of the data, seen at the model's inputs and at its logits."""

from __future__ import annotations

import math
from statistics import median

import numpy as np

from thalweg.lens.finding import Evidence, Finding
from thalweg.lens.record import Record

LEAST_BATCHES = 8
SORTED = 3.0  # times the chi-square that chance gives; sound runs had at most 1.6
FAR, WIDE, NARROW = 3.0, 4.0, 0.02  # mean in deviations; deviation
FEW_ROWS = 2
CONTRADICTED, SURE = 0.1, 0.35  # sound runs had at most 0.06 contradicted
LEAST_OFFSET = 8.0  # of the logits; sound runs had at most 4.5


def not_shuffled(record: Record) -> Finding | None:
    """Chi-square of classes against batches, over its degrees of freedom: 1 by chance."""
    if record.reevaluated:  # a batch is gone through until its rows are learned, and learned rows are not counted
        return None
    counts = [each.counts for each in record.outputs.values() if each.counts is not None and each.rows >= 4]
    if len(counts) < LEAST_BATCHES:
        return None
    table = np.stack(counts).astype(float)
    table = table[:, table.sum(0) > 0]
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / table.sum()
    freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
    ratio = float(((table - expected) ** 2 / expected).sum()) / freedom if freedom else 0.0
    if ratio < SORTED:
        return None
    return Finding("not_shuffled", Evidence.PROOF, {"ratio": ratio}, step=LEAST_BATCHES)


def inputs_not_normalized(record: Record) -> Finding | None:
    if record.inputs is None:
        return None
    mean, deviation = record.inputs
    if deviation > 0 and abs(mean) <= FAR * deviation and NARROW <= deviation <= WIDE:
        return None
    if deviation == 0:
        return None
    return Finding("inputs_not_normalized", Evidence.RULE_OF_THUMB, {"mean": mean, "deviation": deviation}, step=1)


def batch_too_small(record: Record) -> Finding | None:
    rows = [each.rows * record.passes for each in record.outputs.values() if each.counts is not None]
    if len(rows) < 10 or median(rows) > FEW_ROWS:
        return None
    cosines = list(record.look_back.values())
    facts = {"rows": median(rows), "cosine": abs(median(cosines)) if cosines else math.nan}
    return Finding("batch_too_small", Evidence.RULE_OF_THUMB, facts, step=10)


def label_noise(record: Record) -> Finding | None:
    late = [each for step, each in record.outputs.items() if step > record.steps / 2 and each.counts is not None]
    if len(late) < 5 or record.steps < 40:
        return None
    contradicted = sum(each.contradicted for each in late) / len(late)
    sure = sum(each.sure for each in late) / len(late)
    if contradicted < CONTRADICTED or sure < SURE:
        return None
    return Finding("label_noise", Evidence.RULE_OF_THUMB, {"share": contradicted, "sure": sure}, step=record.steps // 2)


def logits_drifting(record: Record) -> Finding | None:
    """What all classes share grows past what parts them."""
    scores = list(record.scores.values())
    if len(scores) < 20:
        return None
    offset, spread = (median(pair[i] for pair in scores[-4:]) for i in (0, 1))
    if abs(offset) < LEAST_OFFSET or abs(offset) < 2 * spread or abs(offset) < 3 * abs(scores[0][0]):
        return None
    facts = {"offset": offset, "ratio": abs(offset) / spread}
    return Finding("logits_drifting", Evidence.RULE_OF_THUMB, facts, step=list(record.scores)[-4])
