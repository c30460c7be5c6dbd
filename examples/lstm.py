"""A plain LSTM loop, watched by lens: the three marked lines are all that is added.

python examples/lstm.py    # about 10 seconds on a CPU
"""

import argparse

import torch
from torch import nn

import thalweg  # 1

LENGTH, SYMBOLS = 6, 8


class Memory(nn.Module):
    """Symbols in, the logits of the one that was seen first out."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(SYMBOLS, 16)
        self.cells = nn.LSTM(16, 48, batch_first=True)
        self.head = nn.Linear(48, SYMBOLS)

    def forward(self, symbols: torch.Tensor) -> torch.Tensor:
        return self.head(self.cells(self.embedding(symbols))[0][:, -1])


def train(steps: int, lr: float, seed: int = 0) -> float:
    """The share of right answers over the last twenty batches."""
    torch.manual_seed(seed)
    model = Memory()
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    right = []
    with thalweg.lens(optimizer, model) as seen:  # 2
        for _ in range(steps):
            symbols = torch.randint(SYMBOLS, (64, LENGTH))
            optimizer.zero_grad()
            logits = model(symbols)
            nn.functional.cross_entropy(logits, symbols[:, 0]).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            right.append((logits.argmax(1) == symbols[:, 0]).float().mean().item())
    seen.report("lens.html")  # 3
    return sum(right[-20:]) / len(right[-20:])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--lr", type=float, default=3e-3)
    chosen = parser.parse_args()
    print(f"right: {train(chosen.steps, chosen.lr):.1%}")
