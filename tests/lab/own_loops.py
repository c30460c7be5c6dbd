"""A training loop of one's own that takes a few milliseconds, as a function and as a script."""

from __future__ import annotations

import torch
from torch import nn

CALLS: list[tuple[str, int, int]] = []  # optimizer, seed, first step: of each call in this process


def train(run):
    x = torch.randn(64, 4)
    y = x.sum(1, keepdim=True) + 0.5 * torch.randn(64, 1)
    model = nn.Linear(4, 1)
    optimizer = run.optimizer(model)
    start = run.restore(model=model, optimizer=optimizer)
    CALLS.append((run.entry.name, run.seed, start))
    for step in range(start + 1, 31):
        optimizer.zero_grad()
        noise = run.get("noise", 0.0) * torch.randn(64, 1)
        loss = ((model(x) - y - noise) ** 2).mean()
        loss.backward()
        optimizer.step()
        if step % 10 == 0:
            run.save(step, model=model, optimizer=optimizer)
            run.report(step, loss)
    return loss


SCRIPT = """
import argparse, json, random, sys
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser.add_argument("--seed", type=int)
parser.add_argument("--optimizer", default="sgd")
parser.add_argument("--width", type=int, default=1)
parser.add_argument("--how", default="json")
parser.add_argument("--folder")
args = parser.parse_args()
random.seed(args.seed)
x = 1.0
for step in range(1, 4):
    x -= args.lr * 2 * x
    value = x * x + 0.01 * random.random()
    if args.how == "json":
        print(json.dumps({"step": step, "val_loss": value}))
    elif args.how == "text":
        print(f"step {step}: val loss {value:.6f}")
    elif args.how == "report":
        import thalweg
        thalweg.report(step, val_loss=value)
    else:
        with open(args.folder + "/log." + args.how, "a") as file:
            if args.how == "csv" and step == 1:
                file.write("step,val_loss\\n")
            row = f"{step},{value}" if args.how == "csv" else json.dumps({"step": step, "val_loss": value})
            file.write(row + "\\n")
if args.lr > 5:
    sys.exit("OSError: [Errno 28] No space left on device" if args.lr > 7 else "ValueError: too large")
"""
