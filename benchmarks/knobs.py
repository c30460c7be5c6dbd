"""Does a comparison gain by tuning more than the learning rate? The table of docs/protocol.md.

python benchmarks/knobs.py [REPETITIONS] [TRIALS]: each optimizer is searched on one seed, once by each kind of search;
the two best settings go to fresh seeds, the better one there on validation counts. Half an hour of one core for 6.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from statistics import fmean
from typing import Any

import torch

from thalweg.catalogue import CATALOGUE, Entry
from thalweg.lab.judging.statistics import mean_interval
from thalweg.lab.search.hyperparameters import settings, tuned
from thalweg.lab.search.protocol import Protocol, first_look, joint_look, second_look
from thalweg.lab.task.load import load_task
from thalweg.lab.training.job import Job
from thalweg.lab.training.loop import run_trial
from thalweg.lab.training.trial import Configuration, Trial

OPTIMIZERS = ("adam", "momentum", "radam", "nadam")
KINDS = {
    "lr alone": ("lr",),
    "lr and beta1": ("lr", "beta1"),
    "lr, beta1, beta2, eps": ("lr", "beta1", "beta2", "eps"),
}
FRESH = 6
TASK = load_task("digits")
trained: dict[str, Trial] = {}


def train(entry: Entry, made: dict[str, Any], seed: int, phase: str) -> Trial:
    key = repr((entry.name, sorted(made.items()), seed, phase))
    if key not in trained:
        job = Job(key, phase, 0, entry, Configuration(entry.name, made, seed), TASK.epochs)
        trained[key] = run_trial(TASK, job)
    return trained[key]


def worth(trial: Trial) -> tuple[float, float]:
    return (trial.metric, -trial.loss) if trial.done else (-1.0, 0.0)


def search(entry: Entry, names: Sequence[str], seed: int, trials: int) -> tuple[float, float]:
    """Validation and test accuracy, over fresh seeds, of what one search recommends."""
    protocol, hyperparameters = Protocol.of("quick", trials=trials), tuned(entry, TASK, names)
    rates = first_look(hyperparameters[0].default, entry.search("lr"), protocol.first_look)
    tried = [settings(entry, hyperparameters, values)[0] for values in joint_look(hyperparameters, rates)]
    best = max(tried, key=lambda made: worth(train(entry, made, seed, "search")))
    tried += [{**best, "lr": r} for r in second_look([m["lr"] for m in tried], best["lr"], protocol.second_look)]
    leading = sorted(tried, key=lambda made: worth(train(entry, made, seed, "search")), reverse=True)[:2]
    ends = []
    for made in leading:
        finals = [train(entry, made, 1000 + 100 * seed + place, "final") for place in range(FRESH)]
        ends.append((fmean(t.metric if t.done else 0.0 for t in finals), fmean(t.test_metric or 0.0 for t in finals)))
    return max(ends)


def main(repetitions: int, trials: int) -> None:
    torch.set_num_threads(1)
    found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    for seed in range(repetitions):
        for name in OPTIMIZERS:
            for kind, names in KINDS.items():
                found[kind].append(search(CATALOGUE[name], names, seed, trials))
            print(
                f"{name}, search seed {seed}: " + ", ".join(f"{100 * f[-1][0]:.2f}" for f in found.values()), flush=True
            )
    first = next(iter(found.values()))
    print("| tuned | validation | test |\n|---|---|---|")
    for kind, ends in found.items():
        cells = []
        for part in (0, 1):
            gaps = mean_interval([100 * (end[part] - start[part]) for end, start in zip(ends, first, strict=True)])
            alone = f"{100 * fmean(end[part] for end in ends):.2f} %"
            cells.append(alone if ends is first else f"{gaps.mean:+.2f} ± {gaps.half:.2f}")
        print(f"| {kind} | {' | '.join(cells)} |")


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]]
    main(*(numbers + [6, 25][len(numbers) :]))
