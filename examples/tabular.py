"""A table of scikit-learn's as a task, and three optimizers compared on it.

python examples/tabular.py                                      # about 20 seconds on a CPU
thalweg compare examples/tabular.py:task --optimizers adam,sgd  # the same from the shell
"""

import argparse
from pathlib import Path

import torch
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler
from torch import nn

import thalweg


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(30, 32), nn.ReLU(), nn.Linear(32, 2))


def task() -> thalweg.Task:
    """569 tumors, 30 measurements each: benign or malignant."""
    data = load_breast_cancer()
    x = torch.tensor(StandardScaler().fit_transform(data.data), dtype=torch.float32)
    return thalweg.Task(
        model=network,
        loss=nn.CrossEntropyLoss(),
        train=(x, torch.tensor(data.target)),
        metric="accuracy",
        epochs=10,
        name="breast-cancer",
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--out", type=Path, default=Path("studies/breast-cancer"))
    asked = parser.parse_args()
    result = thalweg.compare(task(), ["adam", "sgd", "lion"], trials=asked.trials, out=asked.out)
    print(result)
    print("The report:", asked.out / "report.html")
