"""Adam with its eps left alone, tuned over its usual range, and up to 100, against momentum. (Choi et al. 2019)

With a large eps Adam is momentum (inclusion.py), so a search that may go there should not end behind it. Each is tuned
by `thalweg.tune` with as many trials, and its best configuration runs on the same fresh seeds. Rerun it to resume.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evidence_runs import SIDES, shown, side

import thalweg
from thalweg.lab.judging.statistics import Interval, mean_interval

ROOT = Path(__file__).parents[2]
TASKS = ("perceptron", "convolutions", "autoencoder", "table")
TRIALS, SEEDS = 32, 10
SEARCHES: dict[str, tuple[str, dict[str, Any]]] = {
    "momentum": ("momentum", {"lr": None, "momentum": None}),
    "adam": ("adam", {"lr": None, "beta1": None}),
    "adam, eps 1e-10 to 1e-4": ("adam", {"lr": None, "beta1": None, "eps": None}),
    "adam, eps 1e-8 to 100": ("adam", {"lr": (1e-4, 1e2), "beta1": None, "eps": (1e-8, 1e2)}),
}


def tuned(task: str, search: str) -> tuple[dict[str, Any], dict[int, float]]:
    """The configuration that is found, and its test values by fresh seed, larger is better."""
    optimizer, ranges = SEARCHES[search]
    found = thalweg.tune(
        str(ROOT / "benchmarks" / "evidence_tasks.py") + f":{task}",
        optimizer,
        hyperparameters=ranges,
        trials=TRIALS,
        finalists=1,
        finalist_seeds=SEEDS,
        out=ROOT / "studies" / "wide_eps" / f"{task} {search}",
    )
    sign, best = 1.0 if found.larger_is_better else -1.0, found.tuned
    return best.settings, {t.seed: sign * t.test_metric for t in best.trials if t.test_metric is not None}


def gap(one: dict[int, float], other: dict[int, float]) -> Interval:
    return mean_interval([one[seed] - other[seed] for seed in other if seed in one])


def main() -> None:
    for task in TASKS:
        _, momentum = tuned(task, "momentum")
        cells = []
        for search in list(SEARCHES)[1:]:
            settings, own = tuned(task, search)
            found = gap(own, momentum)
            cells.append(f"{shown(found, task in ('perceptron', 'convolutions'))}, {SIDES[side(found)]}")
        print(f"| `{task}` | {' | '.join(cells)} | {settings['eps']:.2g} |", flush=True)


if __name__ == "__main__":
    main()
