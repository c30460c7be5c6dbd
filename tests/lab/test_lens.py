"""`thalweg lens TASK`: a run as a study makes it, watched."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import thalweg
from thalweg.lab.cli.commands import app
from thalweg.lab.cli.lens import is_task
from thalweg.lab.errors import LabError
from thalweg.lab.training.job import Job
from thalweg.lab.training.loop import run_trial
from thalweg.lab.training.trial import Configuration
from thalweg.lab.verbs.observe import observe


@pytest.mark.apart
def test_the_trial_is_what_a_study_writes_down():
    from thalweg.catalogue import CATALOGUE
    from thalweg.lab.task.load import load_task

    found = observe("digits", "adam", epochs=2, seed=3)
    configuration = Configuration("adam", {}, 3)
    job = Job("x", "search", 0, CATALOGUE["adam"], configuration, 2)
    assert found.trial.curve == run_trial(load_task("digits"), job).curve
    assert found.seen.record.steps == found.trial.steps and found.findings == []


def test_why_a_configuration_diverged_and_what_helps():
    found = observe("digits", "sgd", lr=50.0, tried=True)
    assert found.trial.status == "diverged"
    assert found.findings[0].name == "lr_too_high" and found.findings[0].tried.helps


def test_the_command(tmp_path):
    page = tmp_path / "run.html"
    done = CliRunner().invoke(
        app, ["lens", "digits", "--optimizer", "adam", "--lr", "1e-5", "--epochs", "4", "--out", str(page)]
    )
    assert done.exit_code == 0, done.output
    assert "adam, 68 steps: validation loss" in done.output and "lr=0.0001" in done.output and page.is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["digits"], "--optimizer: got none"),
        (["digits", "--optimizer", "adam,sgd"], "optimizer: got 2"),
        (["digits", "--optimizer", "nadamx"], "nadamx"),
        ([str(Path(__file__).parent), "--optimizer", "adam"], "is not a task"),
        (["digitz", "--optimizer", "adam"], "no task of that name; did you mean 'digits'? It must be a checkpoint"),
        (["none.pt"], "no file none.pt"),
        (["digits", "--optimizer", "adam", "--epochs", "0"], "epochs: got 0"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(words, message):
    done = CliRunner().invoke(app, ["lens", *words])
    assert done.exit_code == 2 and message in done.output


def test_what_is_a_task():
    assert all(map(is_task, ("digits", "my.py", "my.py:task", "package.module:task")))
    assert not any(map(is_task, ("checkpoint.pt", "folder", "model.bin")))


def test_a_task_that_cannot_start_is_refused():
    rows = torch.randn(40, 2), torch.randn(40, 1)
    task = thalweg.Task(lambda: 3, torch.nn.functional.mse_loss, rows, name="none")
    with pytest.raises(LabError, match="returned int"):
        observe(task, "adam")
