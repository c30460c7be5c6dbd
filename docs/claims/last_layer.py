"""Letters by the transformer of docs/evidence/, of one block, for 300 steps: what needs Adam? (Zhao et al. 2024)"""

from __future__ import annotations

from dataclasses import replace

from thalweg.lab.task.load import load_task
from thalweg.lab.task.task import Task


def task() -> Task:
    return replace(load_task("benchmarks/evidence_tasks.py:attention"), name="last-layer", steps=300)
