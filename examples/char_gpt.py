"""A plain training script, as anybody has one: a character GPT with a loop, a schedule and checkpoints of its own.

docs/tutorials/any_script.md compares optimizers on it: one line makes the optimizer; nothing else is Thalweg's.
"""

import argparse
import inspect
import os
import random
from pathlib import Path

import torch
from torch import nn

import thalweg

parser = argparse.ArgumentParser()
parser.add_argument("--optimizer", default="adamw")
parser.add_argument("--lr", type=float, default=3e-3)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--steps", type=int, default=200)
parser.add_argument("--every", type=int, default=50)
parser.add_argument("--folder", default=".")
args = parser.parse_args()

text = inspect.getsource(random) + inspect.getsource(argparse)  # real text that is on every machine
letters = sorted(set(text))
data = torch.tensor([letters.index(letter) for letter in text])
train, validation = data[: int(0.9 * len(data))], data[int(0.9 * len(data)) :]
BLOCK, WIDTH = 32, 48


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.token, self.place = nn.Embedding(len(letters), WIDTH), nn.Embedding(BLOCK, WIDTH)
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 4 * WIDTH, 0.1, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, len(letters))

    def forward(self, x):
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        return self.head(self.blocks(self.token(x) + self.place(torch.arange(x.shape[1])), mask, is_causal=True))


def batch(part, size, generator):
    starts = torch.randint(len(part) - BLOCK - 1, (size,), generator=generator)
    rows = torch.stack([part[start : start + BLOCK + 1] for start in starts])
    return rows[:, :-1], rows[:, 1:]


def loss_of(model, x, y):
    return nn.functional.cross_entropy(model(x).flatten(0, 1), y.flatten())


def evaluate():
    model.eval()
    with torch.no_grad():
        value = loss_of(model, *batch(validation, 256, torch.Generator().manual_seed(1)))
    model.train()
    return value


torch.manual_seed(args.seed)
model = GPT()
optimizer = thalweg.Run(args.optimizer, {"lr": args.lr}).optimizer(model)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.steps)
checkpoint, start = Path(args.folder) / "gpt.pt", 0
if checkpoint.exists():
    saved = torch.load(checkpoint)
    model.load_state_dict(saved["model"]), optimizer.load_state_dict(saved["optimizer"])
    schedule.load_state_dict(saved["schedule"]), torch.set_rng_state(saved["random"])
    start = saved["step"]
else:
    print(f"step 0: val loss {evaluate():.4f}", flush=True)  # what the untrained model reaches
for step in range(start + 1, args.steps + 1):
    optimizer.zero_grad()
    loss_of(model, *batch(train, 16, None)).backward()
    optimizer.step()
    schedule.step()
    if step % args.every == 0:
        value = evaluate()
        parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
        state = {name: part.state_dict() for name, part in parts.items()}
        torch.save({**state, "step": step, "random": torch.get_rng_state()}, checkpoint.with_suffix(".new"))
        os.replace(checkpoint.with_suffix(".new"), checkpoint)  # whole or not at all
        print(f"step {step}: val loss {value:.4f}", flush=True)
