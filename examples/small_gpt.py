"""A small GPT on characters: AdamW with groups, warm-up and cosine, and clipping inside the step.

python examples/small_gpt.py    # about 20 seconds on a CPU
"""

import argparse
import math

import torch
from torch import nn
from torch.nn import functional

import thalweg.optim as optim

WIDTH, HEADS, LAYERS, LENGTH = 64, 4, 2, 32


class Block(nn.Module):
    """Attention to what came before, then a perceptron."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows, length, _ = x.shape
        q, k, v = self.qkv(self.first(x)).view(rows, length, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).reshape(rows, length, WIDTH))
        return x + self.mlp(self.second(x))


class GPT(nn.Module):
    """Characters in, the logits of the next ones out."""

    def __init__(self, characters: int) -> None:
        super().__init__()
        self.token, self.position = nn.Embedding(characters, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)), nn.LayerNorm(WIDTH))
        self.head = nn.Linear(WIDTH, characters, bias=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(self.token(ids) + self.position.weight[: ids.shape[1]]))


def groups(model: nn.Module) -> list[dict]:
    """Matrices decay; biases and norms do not."""
    parameters = list(model.parameters())
    return [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": 0.1},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]


def train(steps: int, seed: int = 0) -> tuple[float, float]:
    """The mean loss of the first and of the last ten steps, in nats a character."""
    torch.manual_seed(seed)
    text = math.__doc__ + torch.__doc__ + argparse.__doc__ + nn.Linear.__doc__ + nn.LayerNorm.__doc__
    characters = sorted(set(text))
    ids = torch.tensor([characters.index(each) for each in text])
    model = GPT(len(characters))
    optimizer = optim.AdamW(groups(model), lr=3e-3, betas=(0.9, 0.95), clip_norm=1.0)
    warm_up = max(1, steps // 10)

    def factor(step: int) -> float:
        return min(1.0, (step + 1) / warm_up) * (0.5 + 0.5 * math.cos(math.pi * step / steps))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    losses = []
    for _ in range(steps):
        starts = torch.randint(len(ids) - LENGTH - 1, (16, 1))
        batch = ids[starts + torch.arange(LENGTH + 1)]
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return sum(losses[:10]) / 10, sum(losses[-10:]) / 10


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=300)
    first, last = train(parser.parse_args().steps)
    print(f"loss of the first ten steps: {first:.2f}, of the last ten: {last:.2f}")
