"""Why configurations failed, in lens's words, from what the study has written down: nothing is run again."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from thalweg.lab.arguments import several
from thalweg.lab.training.trial import Status, Trial
from thalweg.lens.finding import Evidence, Finding


def why_failed(trials: Sequence[Trial], language: str = "en") -> dict[str, list[str]]:
    """For each optimizer with a failed run what failed, why, and what to change.

    Args:
        trials: of the whole study.
        language: "en" or "zh".
    """
    found = {}
    for optimizer in dict.fromkeys(trial.optimizer for trial in trials if trial.failed):
        own = [trial for trial in trials if trial.optimizer == optimizer]
        diverged = [trial for trial in own if trial.status is Status.DIVERGED]
        told = [_diverged(own, diverged).tell(language)] if diverged else []
        found[optimizer] = told + _others(own)
    return found


def commonest(trials: Sequence[Trial], most: int) -> list[tuple[str, int]]:
    """The commonest reasons of those that did not end well, in a line each, with how many there are."""
    return Counter(reason for trial in trials if (reason := reason_of(trial))).most_common(most)


def reason_of(trial: Trial) -> str:
    """Why a run did not end well, in a line; empty for one that did."""
    lines = (trial.message or "").splitlines()
    return "" if trial.done or not lines else lines[0][:160]


def _diverged(own: Sequence[Trial], diverged: Sequence[Trial]) -> Finding:
    """A cliff, where all runs with lower rates ended and none with a higher one did; else chance has a part in it."""
    cliff = min((rate for trial in diverged if (rate := _rate(trial)) > 0), default=math.nan)
    below = [_rate(trial) for trial in own if trial.done and _rate(trial) < cliff]
    beyond = [_rate(trial) for trial in own if trial.done and _rate(trial) >= cliff]
    at_the_edge = min(diverged, key=lambda trial: (not _rate(trial) > 0, _rate(trial)))
    facts: dict[str, float | int | str] = {
        **{"failed": len(diverged), "runs": len(own), "message": at_the_edge.message or at_the_edge.status},
        **{"lr": cliff, "better": max(below, default=cliff / 10)},
    }
    if math.isnan(cliff):
        return Finding("diverged", Evidence.PROOF, facts)
    if beyond:
        return Finding("diverged", Evidence.PROOF, facts | {"beyond": max(beyond)}, text="diverged.by_chance")
    return Finding("lr_too_high", Evidence.PROOF, facts, text="lr_too_high.cliff")


def _others(own: Sequence[Trial]) -> list[str]:
    """What failed for other reasons: how often, and what the first of them said."""
    kinds = Counter(trial.status for trial in own if trial.failed and trial.status is not Status.DIVERGED)
    lines = []
    for status, count in kinds.items():
        said = next((trial.message for trial in own if trial.status is status and trial.message), "")
        lines.append(f"{count} of {several(len(own), 'run')} {status.in_words}" + (f": {said}" if said else "."))
    return lines


def _rate(trial: Trial) -> float:
    rate = trial.settings.get("lr", math.nan)
    return float(rate) if isinstance(rate, int | float) else math.nan
