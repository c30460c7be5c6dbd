"""How far two runs of the same job are apart."""

from __future__ import annotations

import math

from thalweg.lab.training.trial import Trial

CLOSE = 1e-5  # relative: the same run on other hardware, or among other lanes


def distance(one: Trial, other: Trial) -> float:
    """The largest relative distance of two trials' numbers; infinite where they do not have the same ones."""
    if one.status != other.status or one.curve.steps != other.curve.steps:
        return math.inf
    pairs = [
        (a, b)
        for name in ("train_loss", "validation_loss", "validation_metric")
        for a, b in zip(getattr(one.curve, name), getattr(other.curve, name), strict=True)
    ]
    tests = ((one.test_loss, other.test_loss), (one.test_metric, other.test_metric))
    pairs += [(a, b) for a, b in tests if a is not None and b is not None]
    return max((_relative(a, b) for a, b in pairs), default=0.0)


def _relative(a: float, b: float) -> float:
    if a == b or (math.isnan(a) and math.isnan(b)):
        return 0.0
    far = abs(a - b) / max(abs(a), abs(b))
    return math.inf if math.isnan(far) else far
