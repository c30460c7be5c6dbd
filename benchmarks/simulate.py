"""How often the lab's verdicts are wrong, how often a difference is found: thousands of simulated studies.

    python benchmarks/simulate.py --studies 2000 --twins 100

Every study goes through the code that judges real ones; results/simulation.md is written anew. About 5 minutes a
thousand studies on one core.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests" / "lab"))

from made_up import World, share, trained_twins, verdicts  # noqa: E402

from thalweg.lab.judging.statistics import judge, mean_interval  # noqa: E402

TOLD_APART = ("worse", "better")
QUICK: dict[str, Any] = {"points": 7, "finalists": 1, "seeds": 3}
STANDARD: dict[str, Any] = {"points": 24, "finalists": 2, "seeds": 10}
VARIED: list[tuple[str, dict[str, Any]]] = [
    ("as it comes", {}),
    ("the learning rate matters much (0.15 decades)", {"reach": 0.15}),
    ("it matters little (1.2 decades)", {"reach": 1.2}),
    ("test follows validation closely (0.9)", {"related": 0.9}),
    ("one optimizer's seeds lie 4 x as far apart", {"related": 0.9, "wide": 4.0}),
    ("accuracy on 64 rows", {"rows": 64}),
]


def copies(count: int, preset: dict[str, Any], change: dict[str, Any], studies: int) -> float:
    """The share of studies of equal optimizers in which one is told from the leader."""
    change = dict(change)
    if "wide" in change:
        change["wide"] = [1.0] * (count - 1) + [change["wide"]]
    return share(verdicts(World([0.0] * count, **{**preset, **change}), studies, seed=count), *TOLD_APART)


def false_alarms(studies: int) -> list[str]:
    lines = ["| copies of one optimizer | 2, quick | 2, standard | 10, quick | 10, standard |", "|---|---|---|---|---|"]
    for name, change in VARIED:
        cells = [
            f"{copies(count, preset, change, max(50, studies // (1 if count == 2 else 2))):.1%}"
            for count in (2, 10)
            for preset in (QUICK, STANDARD)
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def mixed(studies: int) -> list[str]:
    """Both kinds of error at once: half the optimizers equal the leader, half are worse by just the margin."""
    lines = ["| ten optimizers: 5 equal, 5 worse by just the margin | 10 seeds | 40 seeds |", "|---|---|---|"]
    rates: dict[str, list[float]] = {"told apart": [], "called equivalent": [], "either": []}
    for seeds in (10, 40):
        world = World([0.0] * 5 + [-1.5] * 5, seeds, points=1, finalists=1, margin=1.5)
        tables = verdicts(world, studies, seed=seeds)
        best, worst = world.names[:5], world.names[5:]
        apart = [share([t], *TOLD_APART, of=best) > 0 and t.rows[0].optimizer in best for t in tables]
        equal = [share([t], "equivalent", of=worst) > 0 and t.rows[0].optimizer in best for t in tables]
        for name, hits in (("told apart", apart), ("called equivalent", equal)):
            rates[name].append(float(np.mean(hits)))
        rates["either"].append(float(np.mean([a or b for a, b in zip(apart, equal, strict=True)])))
    return lines + [
        f"| wrongly {name} | {' | '.join(f'{rate:.1%}' for rate in found)} |" for name, found in rates.items()
    ]


def power(studies: int) -> list[str]:
    lines = ["| one is worse by 2 seed deviations | 3 seeds | 5 seeds | 10 seeds |", "|---|---|---|---|"]
    for count in (2, 10):
        cells = []
        for seeds in (3, 5, 10):
            world = World([0.0] * (count - 1) + [-2.0], seeds)
            cells.append(f"{share(verdicts(world, studies, seed=seeds), 'worse', of=world.names[-1:]):.0%}")
        lines.append(f"| among {count} | {' | '.join(cells)} |")
    return lines


def coverage(studies: int) -> list[str]:
    random = np.random.default_rng(0)
    lines = ["| a 95 % interval of a mean | 3 seeds | 5 seeds | 10 seeds |", "|---|---|---|---|"]
    hits: dict[str, list[float]] = {"t": [], "percentile bootstrap": []}
    for seeds in (3, 5, 10):
        draws = random.normal(0, 1, (studies, seeds))
        hits["t"].append(float(np.mean([(i := mean_interval(x.tolist())).low <= 0 <= i.high for x in draws])))
        again = [np.quantile(x[random.integers(0, seeds, (1000, seeds))].mean(1), [0.025, 0.975]) for x in draws]
        hits["percentile bootstrap"].append(float(np.mean([low <= 0 <= high for low, high in again])))
    return lines + [f"| {name} | {' | '.join(f'{rate:.1%}' for rate in found)} |" for name, found in hits.items()]


def more_seeds(studies: int) -> list[str]:
    random = np.random.default_rng(1)
    lines = ["| undecided after | 3 seeds | 5 seeds | 10 seeds |", "|---|---|---|---|"]
    cells = []
    for seeds in (3, 5, 10):
        ended = []
        while len(ended) < studies:
            truth = random.normal(0, 1.5)
            seen = random.normal(truth, 1, seeds).tolist()
            more = judge({"a": seen}, 0.5)["a"].more_seeds
            if more is not None:
                later = [*seen, *random.normal(truth, 1, more).tolist()]
                ended.append(judge({"a": later}, 0.5)["a"].verdict != "undecided")
        cells.append(f"{np.mean(ended):.0%}")
    return [*lines, f"| decided by the seeds then asked for | {' | '.join(cells)} |"]


def twins(studies: int) -> list[str]:
    wrong = sum(share([trained_twins(number)], *TOLD_APART) > 0 for number in range(studies))
    return [
        f"Really trained: plain sgd under two names, with seeds of its own each, 6 learning rates, 3 fresh seeds: told "
        f"apart in {wrong} of {studies} studies."
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--twins", type=int, default=100)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    start = time.perf_counter()
    text = [
        f"Made by `python benchmarks/simulate.py --studies {asked.studies} --twins {asked.twins}`; half as many "
        "studies where ten optimizers are compared. An unlucky rate of 5 % is off by "
        f"{100 * (0.0475 / asked.studies) ** 0.5:.1f} points one time in three (by "
        f"{100 * (0.0475 / max(50, asked.studies // 2)) ** 0.5:.1f} with ten).",
    ]
    few = max(50, asked.studies // 2)
    parts = (
        lambda: false_alarms(asked.studies),
        lambda: mixed(few),
        lambda: power(few),
        lambda: coverage(asked.studies),
        lambda: more_seeds(few),
        lambda: twins(asked.twins),
    )
    for part in parts:
        lines = part()
        print("\n".join(lines), f"\n[{time.perf_counter() - start:.0f} s]", flush=True)
        text += ["", *lines]
    (HERE / "results" / "simulation.md").write_text("\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
