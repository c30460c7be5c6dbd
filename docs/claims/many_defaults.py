"""Are many optimizers at their defaults as good as one that is tuned? (Schmidt et al. 2021)

On the runs of docs/evidence/. A number of rules drawn at random from all, each run once at its default: the best on
validation is taken. Against it one rule, tuned with as many runs. Both are judged on the same fresh seeds; over the
draws the mean is exact.
"""

from __future__ import annotations

from math import comb

from evidence_runs import counted, ends, row, tasks

from thalweg.lab.judging.statistics import Interval, mean_interval

ALL = 10**6
# Against which rule in which regime, and of how many defaults: as many as that was tuned with, and then all.
COLUMNS = (("adam", "lr tuned", 8), ("adam", "all tuned", 16), ("adam", "lr tuned", ALL), ("momentum", "lr tuned", 8))


def of_defaults(task: str, count: int) -> dict[int, float]:
    """By fresh seed the mean test value of the rule that is chosen from `count` at their defaults."""
    chosen_by = {rule: own[0] for rule, own in ends(task, "defaults", "search").items() if 0 in own}
    tested = ends(task, "defaults", "final")
    most = max(map(len, tested.values()))
    rising = sorted((rule for rule in chosen_by if len(tested.get(rule, {})) == most), key=lambda rule: chosen_by[rule])
    count = min(count, len(rising))
    draws = comb(len(rising), count)
    chance = {rule: comb(place, count - 1) / draws for place, rule in enumerate(rising)}
    return {seed: sum(chance[rule] * tested[rule][seed] for rule in rising) for seed in tested[rising[0]]}


def gap(task: str, rule: str, regime: str, count: int) -> Interval | None:
    """Many defaults less the one that is tuned; None where that was not run."""
    one = ends(task, regime, "final").get(rule, {}) if task in tasks(regime) else {}
    many = of_defaults(task, count)
    return mean_interval([many[seed] - one[seed] for seed in many]) if many.keys() == one.keys() else None


def rows() -> list[str]:
    gaps = {task: [gap(task, *column) for column in COLUMNS] for task in tasks("defaults", "lr tuned")}
    sums = [counted(column) for column in zip(*gaps.values(), strict=True)]
    return [*(row(task, own) for task, own in gaps.items()), f"| together | {' | '.join(sums)} |"]


if __name__ == "__main__":
    print(*rows(), sep="\n")
