"""A run's setting in a few words, and what became of those that failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from thalweg.lab.judging.wording import rate
from thalweg.lab.training.trial import Trial


def hyperparameters(trials: Iterable[Trial]) -> list[str]:
    """What was tuned, the learning rate first; `batch_size` last where it was."""
    every = list(trials)
    names = dict.fromkeys(name for trial in every for name in trial.settings)
    ordered = sorted(names, key=lambda name: name != "lr")
    return [*ordered, *(["batch_size"] if any(trial.batch_size is not None for trial in every) else [])]


def value(trial: Trial, hyperparameter: str) -> Any:
    """The hyperparameter's value in this training; None where it has none."""
    return trial.batch_size if hyperparameter == "batch_size" else trial.settings.get(hyperparameter)


def said(result: Any) -> str:
    """A value as people write it: numbers to three digits, those just below 1 to more."""
    if isinstance(result, bool) or not isinstance(result, int | float | tuple | list):
        return str(result)
    if isinstance(result, tuple | list):
        return "(" + ", ".join(map(said, result)) + ")"
    short = rate(float(result))
    return f"{result:.6g}" if 0.9 < result < 1 and len(f"{result:.6g}") > len(short) else short  # 0.999837 is not 1


def failures(trials: Iterable[Trial], of: int) -> str:
    """How many of so many runs failed, and what became of them: `2 of 8: diverged`, `3 of 8: 2 diverged, 1 crashed`."""
    seen = Counter(str(trial.status) for trial in trials if trial.failed)
    kinds = [what if len(seen) == 1 else f"{count} {what}" for what, count in seen.most_common()]
    return f"{seen.total()} of {of}" + (f": {', '.join(kinds)}" if kinds else "")


def in_words(settings: Mapping[str, Any], batch_size: int | None = None) -> str:
    """`lr 0.003, momentum 0.9`; "its default" where there is nothing to set."""
    parts = [f"{name} {said(result)}" for name, result in sorted(settings.items(), key=lambda item: item[0] != "lr")]
    parts += [f"batch {batch_size}"] if batch_size is not None else []
    return ", ".join(parts) or "its default"
