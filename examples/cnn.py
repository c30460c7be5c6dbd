"""A convolutional network on scikit-learn's handwritten digits, trained by three rules from the same start.

python examples/cnn.py    # about 20 seconds on a CPU
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn

import thalweg.optim as optim

RULES = {
    "SGD with momentum": lambda params: optim.SGD(params, lr=0.05, momentum=0.9),
    "AdamW": lambda params: optim.AdamW(params, lr=3e-3),
    "Schedule-Free AdamW": lambda params: optim.ScheduleFreeAdamW(params, lr=1e-2),
}


def network() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2)),
        *(nn.Flatten(), nn.Linear(128, 10)),
    )


def accuracy(make, epochs: int, seed: int = 0) -> float:
    """The share of right answers on the last fifth of the digits."""
    torch.manual_seed(seed)
    digits = load_digits()
    x = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
    y = torch.tensor(digits.target)
    cut = len(x) * 4 // 5
    model = network()
    optimizer = make(model.parameters())
    free = hasattr(optimizer, "eval")  # Schedule-Free trains at one point and is judged at another
    for _ in range(epochs):
        if free:
            optimizer.train()
        for rows in torch.randperm(cut).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
    if free:
        optimizer.eval()
    with torch.no_grad():
        return (model(x[cut:]).argmax(1) == y[cut:]).float().mean().item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=8)
    epochs = parser.parse_args().epochs
    for name, make in RULES.items():
        print(f"{name}: accuracy {accuracy(make, epochs):.1%}")
    print("One seed and one learning rate each decide nothing: `thalweg compare digits-cnn` does it fairly.")
