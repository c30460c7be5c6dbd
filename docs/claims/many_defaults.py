"""Are many optimizers at their defaults as good as one that is tuned? (Schmidt et al. 2021)

On the runs of docs/evidence/. A number of rules drawn at random from all, each run once at its default: the best on
validation is taken. Against it one rule, tuned with as many runs. Both are judged on the same fresh seeds; over the
draws the mean is exact.
"""

from __future__ import annotations

from math import comb

from evidence_runs import accuracy, ends, shown, side, tasks

from thalweg.lab.judging.statistics import Interval, mean_interval

REGIMES = {"lr tuned": 8, "all tuned": 16}
TUNED = ("adam", "momentum")


def of_defaults(task: str, count: int) -> dict[int, float]:
    """By fresh seed the mean test value of the rule that is chosen from `count` at their defaults."""
    chosen_by = {rule: own[0] for rule, own in ends(task, "defaults", "search").items() if 0 in own}
    tested = ends(task, "defaults", "final")
    most = max(map(len, tested.values()))
    rising = sorted((rule for rule in chosen_by if len(tested.get(rule, {})) == most), key=lambda rule: chosen_by[rule])
    draws = comb(len(rising), count)
    chance = {rule: comb(place, count - 1) / draws for place, rule in enumerate(rising)}
    return {seed: sum(chance[rule] * tested[rule][seed] for rule in rising) for seed in tested[rising[0]]}


def gap(task: str, regime: str, rule: str) -> Interval | None:
    """Many defaults less the one that is tuned."""
    many, one = of_defaults(task, REGIMES[regime]), ends(task, regime, "final").get(rule, {})
    return mean_interval([many[seed] - one[seed] for seed in many]) if many.keys() == one.keys() else None


def rows() -> list[str]:
    word = {1: "ahead", -1: "behind", 0: "undecided"}
    found = []
    for task in tasks("defaults", *REGIMES):
        gaps = [(gap(task, regime, rule), accuracy(task, regime)) for rule in TUNED for regime in REGIMES]
        cells = ["failed" if one is None else f"{shown(one, percent)}, {word[side(one)]}" for one, percent in gaps]
        found.append(f"| `{task}` | {' | '.join(cells)} |")
    return found


if __name__ == "__main__":
    print(*rows(), sep="\n")
