"""A researcher's new rule, compared with AdamW over a suite of tasks, and the table for the paper.

python examples/new_rule.py    # about a minute on a CPU; writes studies/suite/table.csv and table.tex
"""

import argparse
from pathlib import Path
from typing import Annotated

import pandas as pd

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


def table(trials: int, seeds: int, out: Path) -> pd.DataFrame:
    """A row for each task and optimizer: what its finalists reached on fresh seeds, and the verdict."""
    shown = ["optimizer", "lr", "test", "test_low", "test_high", "verdict"]
    parts = []
    for name in SUITE:
        settings = {"trials": trials, "finalist_seeds": seeds, "on": "alone", "out": out / name}
        result = thalweg.compare(name, [SoftSign, "adamw"], **settings)
        parts.append(pd.DataFrame(result.table)[shown].assign(task=name))
    return pd.concat(parts)[["task", *shown]]


def latex(rows: pd.DataFrame) -> str:
    """For a paper; `DataFrame.to_latex` would need one more package."""
    lines = [
        f"{row.task} & {row.optimizer} & {row.lr:.3g} & {row.test:.4g} & {row.verdict} \\\\".replace("_", "\\_")
        for row in rows.itertuples()
    ]
    heading = "task & optimizer & lr & test & verdict \\\\ \\hline"
    return "\n".join(["\\begin{tabular}{llrrl}", heading, *lines, "\\end{tabular}", ""])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("studies/suite"))
    asked = parser.parse_args()
    rows = table(asked.trials, asked.seeds, asked.out)
    rows.to_csv(asked.out / "table.csv", index=False)
    (asked.out / "table.tex").write_text(latex(rows))
    print(rows.to_string(index=False))
    print("Each task has a verdict of its own. Written:", asked.out / "table.csv", "and", asked.out / "table.tex")
