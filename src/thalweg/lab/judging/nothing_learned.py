"""Whether anything was learned: the best of a study against the untrained model, the same answer always, or a value
that the user names."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from thalweg.lab.judging.distributions import t_tail
from thalweg.lab.judging.wording.numbers import Unit
from thalweg.lab.training.trial import Trial

NAMES = {
    "untrained": "the untrained model",
    "constant": "always answering the most frequent class",
    "given": "the baseline that was given",
}
ALPHA = 0.05  # how often something is said to be learned where nothing was
ALIKE = 1e-4  # relative: a GPU does not give the same sum twice
UNKNOWN = "whether anything was learned (no baseline)"
HOW = (
    "No baseline: where runs report step 0 before they train (`run.report(0, value)`, or a line of output that names "
    "the step), or where one is given (`--baseline`), the answer says so if nothing was learned."
)


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


def unbeaten(
    values: Sequence[float], baselines: Mapping[str, float | Sequence[float]] | None, larger_is_better: bool
) -> Baseline | None:
    """The best of the baselines, where these values of the leader's, a seed each, are not surely better.

    One seed is better where it is; several by a one-sided t-test of the differences, which are paired by seed with a
    baseline that has a value a seed.
    """
    sign = 1.0 if larger_is_better else -1.0
    known = {}
    for name, base in (baselines or {}).items():
        each = base if isinstance(base, Sequence) else [base] * len(values)
        pairs = [(a, b) for a, b in zip(values, each, strict=True) if math.isfinite(a) and math.isfinite(b)]
        if name in NAMES and pairs:
            known[name] = pairs
    if not known:
        return None
    means = {name: sum(base for _, base in pairs) / len(pairs) for name, pairs in known.items()}
    name = max(known, key=lambda one: sign * means[one])
    ahead = [sign * (end - base) for end, base in known[name]]
    mean = sum(ahead) / len(ahead)
    if mean <= 0:
        return Baseline(name, means[name])
    if len(ahead) < 2:
        return None
    error = math.sqrt(sum((one - mean) ** 2 for one in ahead) / (len(ahead) - 1) / len(ahead))
    sure = error == 0 or t_tail(mean / error, len(ahead) - 1) < ALPHA
    return None if sure else Baseline(name, means[name])


def untrained(trials: Iterable[Trial]) -> dict[int, float]:
    """By seed what the runs of one's own loop reported at step 0; empty where that was not before they trained.

    It was before, where it is the same at every learning rate: a loop that counts its epochs from 0 has trained by
    then. A run that reported nothing else has no end to set against it.
    """
    starts: dict[int, list[tuple[float, str]]] = {}
    for trial in trials:
        steps, values = trial.curve.steps, trial.curve.validation_metric
        if len(steps) > 1 and steps[0] == 0 and math.isfinite(values[0]):
            starts.setdefault(trial.seed, []).append((values[0], f"{trial.optimizer} {trial.settings}"))
    alike = all(math.isclose(value, of[0][0], rel_tol=ALIKE) for of in starts.values() for value, _ in of)
    several = any(len({setting for _, setting in of}) > 1 for of in starts.values())
    return {seed: of[0][0] for seed, of in starts.items()} if alike and several else {}
