"""Settings of the optimizer that the run shows to be wrong."""

from __future__ import annotations

import math
from statistics import median

from thalweg.lens.finding import Evidence, Finding
from thalweg.lens.record import Record

RULED = 0.5
LARGE_EPS = 1e-6
SMALL_GRADIENT = 2e-6  # root mean square: eps = 1e-8 is then more than 0.5 % of it
PULLED = 0.2
SHORT_BETA2 = 0.9
OUT_OF_DATE = 8.0  # squared gradients over the second moment, just before the loss jumps
JUMP = 1.5


def eps(record: Record) -> Finding | None:
    own = next((s for s in record.settings if isinstance(s.get("eps"), float)), None)
    if own is None or record.steps < 3:
        return None
    steps = list(record.tensors)[:32]
    shares = [share for step in steps if not math.isnan(share := record.mean(step, "ruled_by_eps"))]
    size = sum(record.sizes.values())
    typical = median((record.sum(step, "gradient") / size) ** 0.5 for step in steps)
    share = median(shares) if shares else 0.0
    facts = {"share": share, "eps": own["eps"], "typical": typical, "ratio": own["eps"] / typical if typical else 0.0}
    if own["eps"] > LARGE_EPS and share >= RULED:
        return Finding("eps_too_large", Evidence.PROOF, facts, step=1)
    if 0 < typical < SMALL_GRADIENT and own["eps"] > 0.005 * typical:
        return Finding("loss_scaled_down", Evidence.RULE_OF_THUMB, facts, step=1)
    return None


def beta2_too_short(record: Record) -> Finding | None:
    short = [b[1] for s in record.settings if isinstance(b := s.get("betas"), tuple | list) and b[1] < SHORT_BETA2]
    if not short:
        return None
    facts = {"beta2": short[0], "memory": 1 / (1 - short[0])}
    return Finding("beta2_too_short", Evidence.RULE_OF_THUMB, facts, step=1)


def decay_on_norms(record: Record) -> Finding | None:
    """Where lr x decay over all steps takes a good part of what nothing else holds."""
    vectors = [
        name for step in list(record.tensors)[:1] for name in record.tensors[step] if "bias" in name or "norm" in name
    ]
    for s in record.settings[:1] if len(record.settings) == 1 else []:
        decay = float(s.get("weight_decay") or 0.0)
        if decay and vectors and decay * sum(record.rates) > PULLED:
            facts = {"decay": decay, "count": len(vectors)}
            return Finding("decay_on_norms", Evidence.RULE_OF_THUMB, facts, tuple(vectors), 1)
    return None


def beta2_too_long(record: Record) -> Finding | None:
    """The second moment is far under the gradients that come, and the loss jumps within the next steps."""
    betas = next((s["betas"] for s in record.settings if isinstance(s.get("betas"), tuple | list)), None)
    if betas is None or betas[1] < 0.98:
        return None
    for step in record.tensors:
        ratio = record.mean(step, "out_of_date")
        if step < 20 or not ratio > OUT_OF_DATE:
            continue
        before = [loss for at, loss in record.losses.items() if step - 20 <= at < step - 2]
        after = [loss for at, loss in record.losses.items() if step <= at <= step + 16]
        if before and after and max(after) > JUMP * median(before) and max(after) - median(before) > 0.3:
            facts = {"ratio": ratio, "beta2": float(betas[1])}
            return Finding("beta2_too_long", Evidence.RULE_OF_THUMB, facts, step=step)
    return None
