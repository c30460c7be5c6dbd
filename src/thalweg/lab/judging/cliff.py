"""How near a learning rate is to where runs fail: the chance that one more seed fails at it, from all runs near it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import numpy as np

from thalweg.lab.search.configurations import Candidate, ranked

SAFE = 0.05  # a chance of failure on a fresh seed above this is no recommendation, where there is a safer one
SLOPES = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0)  # of the logistic curve, a decade: from a slope to a wall
ANYWAY = (0.0, 0.01, 0.03, 0.1)  # chances of failure that no learning rate explains
REACH = 2.0  # decades beyond the highest rate tried where the cliff may lie


def failure_chances(candidates: Sequence[Candidate]) -> dict[int, float]:
    """By a configuration's index the chance that a run at its learning rate fails; empty where no run failed.

    A logistic curve in log10 of the rate, and a chance that is the same everywhere; all that they may be is weighed by
    how well it explains the runs (a posterior mean on a grid, no opinion before). One clean seed beside a cliff is so
    no proof of safety, and one crash far below it no cliff.
    """
    known = [candidate for candidate in candidates if candidate.rate > 0]
    if not any(candidate.failed for candidate in known):
        return {}
    rates = np.log10([candidate.rate for candidate in known])
    failed = np.array([candidate.failed for candidate in known], dtype=float)
    ended = np.array([len(candidate.trials) for candidate in known]) - failed
    cliffs = np.arange(rates.min() - 1, rates.max() + REACH, 0.05)
    weights, chances = [], []
    for cliff, slope, anyway in product(cliffs, SLOPES, ANYWAY):
        chance = anyway + (1 - anyway) / (1 + np.exp(-np.clip(slope * (rates - cliff), -60, 60)))
        chance = np.clip(chance, 1e-9, 1 - 1e-9)
        weights.append(float((failed * np.log(chance) + ended * np.log(1 - chance)).sum()))
        chances.append(chance)
    likely = np.exp(np.array(weights) - max(weights))
    mean = (likely[:, None] * np.array(chances)).sum(0) / likely.sum()
    return {candidate.index: float(value) for candidate, value in zip(known, mean, strict=True)}


def recommended(candidates: Sequence[Candidate], larger_is_better: bool) -> tuple[Candidate, float]:
    """The best configuration that keeps a margin from the cliff, and its chance of failure (NaN where none failed).

    Where none is safe enough it is the one that is least likely to fail among those that ended on every seed.
    """
    order = ranked(candidates, larger_is_better)
    chances = failure_chances(candidates)
    if not chances:
        return order[0], math.nan
    sound = [candidate for candidate in order if not candidate.failed and not math.isnan(candidate.metric)]
    safe = [candidate for candidate in sound if chances.get(candidate.index, 0.0) <= SAFE]
    if safe:
        best = safe[0]
    elif sound:
        best = min(sound, key=lambda candidate: chances.get(candidate.index, 0.0))
    else:
        best = order[0]
    return best, chances.get(best.index, math.nan)
