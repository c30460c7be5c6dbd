"""The line to paste is what was measured: all that was trained with is in it or beside it."""

from __future__ import annotations

import little
import numpy as np
import pytest
import torch

import thalweg
from thalweg.lab.study.optimizers import paste

DECAY = 0.5


def spec(training=None, protocol=None, optimizer="adamw", loop=None):
    described = thalweg.lab.study.optimizers.describe(thalweg.catalogue.CATALOGUE[optimizer])
    task = {"batch_size": 32, **({"training": training} if training else {}), **({"loop": loop} if loop else {})}
    return {"task": task, "protocol": protocol or {}, "optimizers": {optimizer: described}}


@pytest.mark.parametrize(
    ("training", "settings", "line"),
    [
        (None, {"lr": 0.1}, "thalweg.optim.AdamW(model.parameters(), lr=0.1)"),
        ({"weight_decay": 0.5}, {"lr": 0.1},
         "thalweg.optim.AdamW(model.parameters(), weight_decay=0.5, lr=0.1)  # with batch_size=32"),
        ({"weight_decay": 0.5}, {"lr": 0.1, "weight_decay": 0.3},
         "thalweg.optim.AdamW(model.parameters(), weight_decay=0.3, lr=0.1)  # with batch_size=32"),
        ({"weight_decay": 0.5, "without_weight_decay": ["adamw"]}, {"lr": 0.1},
         "thalweg.optim.AdamW(model.parameters(), lr=0.1)  # with batch_size=32"),
        ({"clip_norm": 1.0, "schedule": "cosine"}, {"lr": 0.1},
         "thalweg.optim.AdamW(model.parameters(), lr=0.1)  # with clip_norm=1.0, schedule=cosine, batch_size=32"),
    ],
)  # fmt: skip
def test_what_is_in_the_line(training, settings, line):
    assert paste(spec(training), "adamw", settings) == line


def test_a_batch_size_that_was_tuned_is_beside_it():
    assert paste(spec(), "adamw", {"lr": 0.1}, 64).endswith("lr=0.1)  # with batch_size=64")


@pytest.mark.apart
def test_pasted_into_a_plain_loop_it_gives_what_was_measured(tmp_path):
    """With a decay of 0.5 in the task the line said AdamW(lr=0.1), whose decay is 0.01."""
    task = little.task(weight_decay=DECAY, clip_norm=1.0, metric="loss", epochs=6)
    found = thalweg.sweep(task, "adamw", lr=(0.03, 0.3), points=3, closer=0, extend=False, seeds=4, epochs=6,
                          on="alone", out=tmp_path / "study")  # fmt: skip
    [row] = found.rows
    line, _, beside = found.line.partition("  # with ")
    assert "clip_norm=1.0" in beside and f"weight_decay={DECAY}" in line
    pasted, other = (
        [plain_loop(text, seed) for seed in range(4)]
        for text in (line, line.replace(f"weight_decay={DECAY}", "weight_decay=0.01"))
    )
    measured = [trial.metric for trial in row.recommended.trials]
    noise = 3 * np.std(measured, ddof=1) / np.sqrt(4) + 0.02
    assert abs(np.mean(pasted) - np.mean(measured)) < noise
    assert abs(np.mean(other) - np.mean(measured)) > noise  # the old line is another run


def plain_loop(line, seed):
    torch.manual_seed(seed)
    model = little.network()
    x, y = little.rows(128, 0)
    optimizer = eval(line, {"thalweg": thalweg, "model": model})
    for _ in range(6):
        for rows in torch.randperm(128).split(32):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
    model.eval()
    held_x, held_y = little.rows(64, 1)
    return float(torch.nn.functional.cross_entropy(model(held_x), held_y).detach())
