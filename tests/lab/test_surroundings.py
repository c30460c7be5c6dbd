"""A task whose code changes the process (default dtype, working folder, threads) harms no run but its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import little
import pytest
import torch
from asking import jobs, numbers
from torch import nn

from thalweg.lab.isolation import surroundings
from thalweg.lab.runners import Alone, Processes
from thalweg.lab.runners.lanes.runner import Lanes
from thalweg.lab.runners.runner import Runner
from thalweg.lab.verbs.compare import compare


class Vandal(torch.optim.SGD):
    """Leaves nothing as it was."""

    def __init__(self, params: Any, lr: float = 0.1, folder: str = "/") -> None:
        super().__init__(params, lr)
        os.chdir(folder)
        torch.set_default_dtype(torch.float64)
        torch.set_default_device("meta")
        torch.set_num_threads(torch.get_num_threads() + 1)
        torch.set_float32_matmul_precision("medium")


def flipping() -> nn.Module:
    """A model that looks at the default dtype, and changes it."""
    made = little.network().to(torch.get_default_dtype())
    torch.set_default_dtype(torch.float64)
    os.chdir("/")
    return made


@pytest.mark.apart
@pytest.mark.parametrize("runner", [Alone(), Lanes(4), Processes(1)], ids=lambda runner: runner.name)
def test_what_one_run_changes_the_next_does_not_see(runner: Runner) -> None:
    before, asked = surroundings(), jobs([Vandal, "sgd"], seeds=2)
    try:
        with runner:
            ended = numbers(runner.run(little.task(), asked))
        assert surroundings() == before
    finally:
        torch.set_default_device(None)
    calm = [job for job in asked if job.entry.name == "sgd"]
    plain = numbers(Alone().run(little.task(), calm))
    assert {name: ended[name] for name in plain} == plain or runner.name == "lanes"
    assert len(ended) == len(asked) and all("'done'" in text for text in plain.values())


def test_a_task_that_moves_away_has_its_study_where_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    task = little.task(model=flipping, train=little.rows(64, 0))
    compare(task, ["sgd"], out="mine", on="alone", trials=2, finalist_seeds=2)
    assert Path.cwd() == tmp_path and torch.get_default_dtype() is torch.float32
    assert (tmp_path / "mine" / "report.html").exists()


def test_a_tasks_file_that_moves_away_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "mover.py").write_text(f"import os\nos.chdir('data')\n{little.FILE}")
    found = compare("mover.py:task", ["sgd"], on="alone", trials=2, finalist_seeds=2)
    assert found.folder.resolve() == tmp_path / "studies" / "mover-quick"
    assert found.spec["task"]["from"] == f"{tmp_path / 'mover.py'}:task"
