"""`thalweg play STUDY` and `thalweg play TASK`: the page with a model of one's own."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from thalweg.lab.cli.commands import app
from thalweg.lab.recording import record as recorder

FILE = """
import torch
from torch import nn
from thalweg.lab.task.task import Task

x = torch.randn(96, 2, generator=torch.Generator().manual_seed(0))
task = Task(model=lambda: nn.Linear(2, 2), loss=nn.CrossEntropyLoss(), train=(x, (x.sum(1) > 0).long()), epochs=2)
"""


def asked(*words: str) -> Any:
    return CliRunner().invoke(app, ["play", *words])


def model(path: Path) -> Any:
    found = re.search(r'<script type="application/json" id="model">(.*?)</script>', path.read_text(encoding="utf-8"))
    return found and json.loads(found[1])


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(recorder, "SIZES", (5,))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(FILE)
    return tmp_path


@pytest.mark.apart
def test_a_task_is_trained_recorded_and_shown_then_its_study_without_the_task(place):
    told = asked("mine.py:task", "--optimizers", "adam,momentum", "--out", "page.html")
    assert told.exit_code == 0, told.output
    block = model(place / "page.html")
    assert {run["name"] for run in block["slices"][0]["runs"]} == {"adam", "momentum"}
    assert block["title"].startswith("mine, seed 1000") and len(block["slices"]) == 5
    (study,) = (place / "studies").iterdir()
    (place / "mine.py").write_text("raise SystemExit('it ran')")
    told = asked(str(study), "--out", "again.html")
    assert told.exit_code == 0, told.output
    assert model(place / "again.html") == block


def test_what_it_cannot_show(place):
    told = asked("--optimizers", "adam", "--out", "page.html")
    assert told.exit_code == 2 and "--optimizers: got no task to train" in told.stderr
    told = asked("nowhere", "--out", "page.html")
    assert told.exit_code == 2 and "task: got 'nowhere'; must be a built-in task" in told.stderr
    (place / "empty").mkdir()
    told = asked("empty", "--out", "page.html")
    assert told.exit_code == 2 and "empty is not a study" in told.stderr
    swept = CliRunner().invoke(
        app,
        [
            "sweep",
            "mine.py:task",
            "--optimizers",
            "sgd",
            "--points",
            "2",
            "--closer",
            "0",
            "--seeds",
            "1",
            "--out",
            "s",
        ],
    )
    assert swept.exit_code == 0, swept.output
    told = asked("s", "--out", "page.html")
    assert told.exit_code == 2 and "s has no recording; rerun its command with --record" in told.stderr
    told = asked("s", "--optimizers", "adam", "--out", "page.html")
    assert told.exit_code == 2 and "is a study, which has its own" in told.stderr
    assert not (place / "page.html").exists()


def test_without_a_model_the_page_is_as_before(place):
    assert asked("--out", "page.html").exit_code == 0
    assert model(place / "page.html") is None
