"""Does a learned order help an MLP on a table of one's own? Five tables of scikit-learn, best of 8, paired over splits.

    python benchmarks/order_tables.py --rule adamw         two minutes; needs what benchmarks/order.py has run

The list is learned without the families that hold any of these tables. Before: the default and seven that TPE asks for
when it knows nothing else. Now: the default and the first seven of the list. The best of the eight on validation is
judged on the test rows, in regret: 0 the better of both, in units of the deviation of the loss over the splits.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from sklearn import datasets
from torch import nn

import order
import order_tasks
from thalweg.lab.judging.statistics import mean_interval
from thalweg.lab.search import samplers
from thalweg.lab.task.builtin.tabular import Perceptron
from thalweg.lab.task.task import Task
from thalweg.lab.training.job import Job
from thalweg.lab.training.trial import Configuration

TABLES = ("diabetes", "breast_cancer", "wine", "iris", "digits")
WITHOUT = ("tables", "handwriting", "squeeze")
SPLITS, EPOCHS, TRIALS = 24, 15, 8


def task(name: str, split: int) -> Task:
    columns, target = getattr(datasets, f"load_{name}")(return_X_y=True)
    x = torch.as_tensor(columns, dtype=torch.float64)
    x = (x - x.mean(0)) / x.std(0).clamp(min=1e-9)
    regression = name == "diabetes"
    y = torch.as_tensor(target)[:, None] if regression else torch.as_tensor(target)
    y = ((y - y.mean()) / y.std()).float() if regression else y.long()
    rows = torch.randperm(len(x), generator=torch.Generator().manual_seed(split))
    train, validation, test = rows.split([len(x) - 2 * (len(x) // 4), len(x) // 4, len(x) // 4])
    data = {
        part: (x[own].float(), y[own]) for part, own in (("train", train), ("validation", validation), ("test", test))
    }
    model = Perceptron(x.shape[1], 1 if regression else int(y.max()) + 1)
    loss = nn.MSELoss() if regression else nn.CrossEntropyLoss()
    return Task(name=name, model=model, loss=loss, epochs=EPOCHS, batch_size=32, **data)


def chosen_loss(own: Task, rule: order.Rule, points: list[samplers.Coordinates]) -> float:
    """The test loss of the point that is best on validation; both of one run."""
    jobs = []
    for place, point in enumerate(points):
        made, _ = order.settings(rule.entry, rule.chosen, {one.name: one.value(point[one.name]) for one in rule.chosen})
        jobs.append(Job(str(place), "final", place, rule.entry, Configuration(rule.entry.name, made, 0), EPOCHS))
    done = [trial for trial in order.Lanes(64).run(own, jobs) if trial.done]
    return float(min(done, key=lambda trial: trial.loss).test_loss or 0)


def unknowing(rule: order.Rule, name: str, split: int) -> list[samplers.Coordinates]:
    """What TPE asks for first: of each split a draw of its own, or no interval would hold that luck."""
    return samplers.build(order.tpe(f"{name}/{split}"), rule.chosen, TRIALS).ask(TRIALS - 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rule", default="adamw")
    parser.add_argument("--each", type=int, default=4)
    parser.add_argument("--points", type=int, default=64)
    parser.add_argument("--out", type=Path, default=order.ROOT / "studies" / "order")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rule = order.Rule(asked.rule, order_tasks.generated(asked.each), asked.points, asked.out)
    default = [{one.name: one.searched(one.default) for one in rule.chosen}]
    listed = default + [rule.points[place] for place in rule.order(*WITHOUT)[: TRIALS - 1]]
    print("| table | before | with the list | less before |", "|---|---:|---:|---:|", sep="\n")
    all_gaps = []
    for name in TABLES:
        pairs = np.array(
            [
                [
                    chosen_loss(task(name, split), rule, points)
                    for points in (default + unknowing(rule, name, split), listed)
                ]
                for split in range(SPLITS)
            ]
        )
        gap = mean_interval((pairs[:, 1] - pairs[:, 0]).tolist())
        all_gaps += ((pairs[:, 1] - pairs[:, 0]) / pairs[:, 0].mean()).tolist()
        print(
            f"| {name} | {pairs[:, 0].mean():.4f} | {pairs[:, 1].mean():.4f} | {gap.mean:+.4f} ± {gap.half:.4f} |",
            flush=True,
        )
    whole = mean_interval(all_gaps)
    print(f"| all, as a share of before | | | {whole.mean:+.1%} ± {whole.half:.1%} |")


if __name__ == "__main__":
    main()
