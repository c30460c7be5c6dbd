"""Whether anything was learned: the best of a study against the untrained model and the same answer always."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from thalweg.lab.judging.distributions import t_tail
from thalweg.lab.judging.wording.numbers import Unit

NAMES = {"untrained": "the untrained model", "constant": "always answering the most frequent class"}
ALPHA = 0.05  # how often something is said to be learned where nothing was


@dataclass(frozen=True)
class Baseline:
    """What is reached without learning, by whom."""

    name: str
    value: float

    def said(self, what: str, measured: str, unit: Unit) -> str:
        """The answer where nobody beats it."""
        return (
            f"Nothing was learned: {what} reaches {measured}, which is not shown to beat {NAMES[self.name]} "
            f"({unit.value(self.value)}). There is no learning rate to recommend"
        )


def unbeaten(values: Sequence[float], baselines: Mapping[str, float] | None, larger_is_better: bool) -> Baseline | None:
    """The best of the baselines, where these values of the leader's, a seed each, are not surely better.

    One seed is better where it is; several by a one-sided t-test.
    """
    sign = 1.0 if larger_is_better else -1.0
    known = {name: value for name, value in (baselines or {}).items() if name in NAMES and math.isfinite(value)}
    ends = [sign * value for value in values if math.isfinite(value)]
    if not known or not ends:
        return None
    name = max(known, key=lambda one: sign * known[one])
    ahead = [end - sign * known[name] for end in ends]
    mean = sum(ahead) / len(ahead)
    if mean <= 0:
        return Baseline(name, known[name])
    if len(ahead) < 2:
        return None
    error = math.sqrt(sum((one - mean) ** 2 for one in ahead) / (len(ahead) - 1) / len(ahead))
    sure = error == 0 or t_tail(mean / error, len(ahead) - 1) < ALPHA
    return None if sure else Baseline(name, known[name])
