"""The update-to-weight ratio of Adam's best rate, over tasks that are built in: is 1e-3 a rule?

Each task is trained once at each rate, watched by lens; the ratio is the norm of a step over the norm of all weights,
in the median over the second half of the watched steps.
"""

from __future__ import annotations

import math
import sys
from statistics import median

from thalweg.lab.verbs.observe import observe

RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
TASKS = ("digits", "mnist1d", "diabetes", "breast-cancer", "rare-classes", "recall")


def look(task: str, lr: float) -> tuple[float, float]:
    """The validation loss at the end (infinite for a run that failed), and the ratio."""
    found = observe(task, "adam", lr=lr)
    record = found.seen.record
    late = [step for step in record.tensors if step > record.steps / 2]
    ratios = [(record.sum(step, "step") / record.sum(step, "weight")) ** 0.5 for step in late]
    return (found.trial.loss if found.trial.done else math.inf), median(ratios)


def row(task: str) -> str:
    found = {lr: look(task, lr) for lr in RATES}
    best = min(found, key=lambda lr: found[lr][0])
    nearest = min(found, key=lambda lr: abs(math.log(found[lr][1] / 1e-3)))
    return (
        f"| `{task}` | {best:g} | {found[best][1]:.1e} | {found[best][0]:.3g} | {nearest:g} | {found[nearest][1]:.1e} "
        f"| {found[nearest][0]:.3g} |"
    )


if __name__ == "__main__":
    for name in sys.argv[1:] or TASKS:
        print(row(name), flush=True)
