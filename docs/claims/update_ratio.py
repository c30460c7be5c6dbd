"""Is a good step about a thousandth of the weights? Update-to-weight ratios at each rule's best learning rate.

A sweep finds the rate with the best validation result; one run at it is watched by lens. Told are the ratios of the
matrices' norms, step over weight, in the second half of the run: the median over watched steps and matrices, and the
range over matrices.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from statistics import median

import thalweg
from thalweg.lab.verbs.observe import observe

TASKS = ("digits", "digits-cnn", "mnist1d", "mnist1d-cnn", "breast-cancer", "diabetes", "photograph", "recall")
RULES = ("momentum", "adamw", "lion")


def best_rate(task: str, rule: str, points: int = 13) -> float:
    """The rate of a sweep's best run."""
    with tempfile.TemporaryDirectory() as folder:
        found = thalweg.sweep(task, rule, points=points, seeds=1, extend=False, out=Path(folder) / "study")
        return float(found.rows[0].best.settings["lr"])


def ratios(task: str, rule: str, lr: float) -> dict[str, float]:
    """Of each matrix the median ratio over the watched steps of the run's second half."""
    record = observe(task, rule, lr=lr).seen.record
    half = {step: row for step, row in record.tensors.items() if step > record.steps / 2}
    names = [name for name in next(iter(half.values())) if record.roles.get(name) not in ("bias", "norm", "scalar")]
    return {name: median(row[name].update_ratio for row in half.values()) for name in names}


def row(task: str, rule: str, points: int = 13) -> str:
    lr = best_rate(task, rule, points)
    of = ratios(task, rule, lr).values()
    return f"| {task} | `{rule}` | {lr:.3g} | {median(of):.1e} | {min(of):.1e} to {max(of):.1e} |"


if __name__ == "__main__":
    print("| task | rule | best lr | ratio | over its matrices |\n|---|---|---:|---:|---:|")
    for task in sys.argv[1:] or TASKS:
        for rule in RULES:
            print(row(task, rule), flush=True)
