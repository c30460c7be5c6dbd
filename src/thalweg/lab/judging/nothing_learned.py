"""Whether anything was learned: the best of a study against the untrained model, the same answer always, or a value
that the user names."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from thalweg.lab.arguments import several
from thalweg.lab.judging.distributions import t_tail
from thalweg.lab.judging.statistics import moments, seeds_to_decide
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
UNCLEAR = (
    "whether anything was learned (no run is better than at its step 0: is that reported before training? `--baseline` "
    "decides)"
)
HOW = (
    "No baseline: where runs report step 0 before they train (`run.report(0, value)`, or a line of output that names "
    "the step), or where one is given (`--baseline`), the answer says so if nothing was learned."
)

Baselines = Mapping[str, float | Sequence[float]] | None  # by name: a value, or one a seed
Rivals = Sequence[tuple[Sequence[float], Baselines]]


@dataclass(frozen=True)
class Baseline:
    """What is reached without learning, by whom, and is not surely beaten.

    `ahead` is by how many seeds the leader is better on average, 0 where it is not; `more` how many more would tell.
    """

    name: str
    value: float
    ahead: int = 0
    more: int | None = None

    def said(self, what: str, measured: str, unit: Unit) -> str:
        """The answer where nobody beats it."""
        shown = f"{what} reaches {measured}, which is not shown to beat {NAMES[self.name]} ({unit.value(self.value)})"
        if not self.ahead:
            return f"Nothing was learned: {shown}. There is no learning rate to recommend"
        needed = f"about {several(self.more, 'more seed')} would tell" if self.more else "more seeds would tell"
        on = several(self.ahead, "seed")
        return f"Undecided whether anything was learned: {shown} with {on}; {needed}, until then the default stands"


def unbeaten(
    values: Sequence[float], baselines: Baselines, larger_is_better: bool, rivals: Rivals = (), margin: float = 0.0
) -> Baseline | None:
    """The best of the baselines, where these values of the leader's, a seed each, are not surely better.

    One seed is better where it is; several by a one-sided t-test of the differences, which are paired by seed with a
    baseline that has a value a seed.

    Args:
        rivals: what else was tried on these seeds, of which the leader is the best: that takes as much more
            (Bonferroni), but the spread over seeds is also known from those that are better than the baseline.
        margin: a gain that is surely smaller counts as none.
    """
    sign = 1.0 if larger_is_better else -1.0
    known = {name: pairs for name in baselines or {} if name in NAMES and (pairs := _pairs(values, baselines, name))}
    if not known:
        return None
    means = {name: sum(base for _, base in pairs) / len(pairs) for name, pairs in known.items()}
    name = max(known, key=lambda one: sign * means[one])
    ahead = [sign * (end - base) for end, base in known[name]]
    mean, error, seeds = moments(ahead)
    if mean <= 0:
        return Baseline(name, means[name])
    if seeds < 2:
        return None
    others = [[sign * (end - base) for end, base in _pairs(*rival, name)] for rival in rivals]
    spreads = [(seeds - 1, error**2 * seeds)]
    spreads += [(n - 1, e**2 * n) for mean, e, n in map(moments, others) if n > 1 and mean > 0]
    freedom = sum(n for n, _ in spreads)
    error = max(error, math.sqrt(sum(n * square for n, square in spreads) / freedom / seeds))
    alpha = ALPHA / (1 + len(rivals))
    if error == 0 or t_tail(mean / error, freedom) < alpha:
        return None
    if t_tail((margin - mean) / error, freedom) < ALPHA:
        return Baseline(name, means[name])
    return Baseline(name, means[name], seeds, seeds_to_decide(ahead, 0.0, 2 * alpha))  # of one side


def _pairs(values: Sequence[float], baselines: Baselines, name: str) -> list[tuple[float, float]]:
    base = (baselines or {}).get(name, math.nan)
    each = base if isinstance(base, Sequence) else [base] * len(values)
    return [(a, b) for a, b in zip(values, each, strict=True) if math.isfinite(a) and math.isfinite(b)]


def alike_at_0(trials: Iterable[Trial]) -> dict[int, float]:
    """By seed what the runs of one's own loop reported at step 0; empty where that differs between learning rates: a
    loop that counts its epochs from 0 has trained by then. A run that reported nothing else has no end to set against
    it.
    """
    starts: dict[int, list[tuple[float, str]]] = {}
    for trial in _with_step_0(trials):
        first = trial.curve.validation_metric[0]
        starts.setdefault(trial.seed, []).append((first, f"{trial.optimizer} {trial.settings}"))
    alike = all(math.isclose(value, of[0][0], rel_tol=ALIKE) for of in starts.values() for value, _ in of)
    apart = any(len({setting for _, setting in of}) > 1 for of in starts.values())
    return {seed: of[0][0] for seed, of in starts.items()} if alike and apart else {}


def untrained(trials: Sequence[Trial], larger_is_better: bool) -> dict[int, float]:
    """What is alike at step 0, where a later value of some run is better.

    Of a metric at its best, or too coarse to move, the values after an epoch of training are alike too.
    """
    sign = 1.0 if larger_is_better else -1.0
    starts = alike_at_0(trials)
    better = any(
        sign * (value - starts[trial.seed]) > ALIKE * abs(starts[trial.seed])
        for trial in _with_step_0(trials if starts else ())
        for value in trial.curve.validation_metric[1:]
    )
    return starts if better else {}


def _with_step_0(trials: Iterable[Trial]) -> Iterator[Trial]:
    for trial in trials:
        steps, values = trial.curve.steps, trial.curve.validation_metric
        if len(steps) > 1 and steps[0] == 0 and math.isfinite(values[0]):
            yield trial
