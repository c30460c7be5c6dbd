"""A researcher's new rule, compared with AdamW over a suite of tasks: one verdict, and the table for the paper.

python examples/new_rule.py    # about a minute on a CPU; writes studies/suite/table.csv and table.tex
"""

import argparse
from pathlib import Path
from typing import Annotated

import thalweg
from thalweg.rule.hyperparameters import Betas, Rate, Search
from thalweg.rule.words import sqrt, tanh

SUITE = ("digits", "digits-cnn", "quadratic")


def per_step(step, *, lr: Annotated[Rate, Search(1e-4, 1e-1)] = 1e-3, betas: Betas = (0.9, 0.99)):
    beta1, beta2 = betas
    return {"eta": lr / (1 - beta1**step), "beta1": beta1, "beta2": beta2, "root": 1 / (1 - beta2**step) ** 0.5}


def per_element(p, g, m, v, *, eta, beta1, beta2, root):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    p = p - eta * tanh(m / (root * sqrt(v) + 1e-8))
    return p, m, v


SoftSign = thalweg.optimizer(
    thalweg.Rule("softsign", "Adam's ratio, bounded by tanh", "an example", per_step, per_element)
)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("studies/suite"))
    asked = parser.parse_args()
    result = thalweg.compare(
        list(SUITE), [SoftSign, "adamw"], trials=asked.trials, finalist_seeds=asked.seeds, on="alone", out=asked.out
    )
    print(result)
    print("Written:", *(asked.out / name for name in ("report.html", "table.csv", "table.tex")))
