"""A training loop that tells which GPUs it was given, and waits for others so that one sees how many go at once."""

from __future__ import annotations

import os
import time
from pathlib import Path

from thalweg.lab.task.own_loop import OwnLoop


def telling(folder: Path, wanted: int, patience: float = 60.0) -> OwnLoop:
    """A loop whose runs wait until `wanted` of them are there, each with the devices it sees in a file."""

    def train(run):
        mine = folder / f"{run.seed}-{run.settings['lr']}"
        mine.write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "none"))
        end = time.time() + patience
        while len(list(folder.iterdir())) < wanted and time.time() < end:
            time.sleep(0.02)
        return float(len(list(folder.iterdir())) >= wanted)

    return OwnLoop.of(train, direction="max")
