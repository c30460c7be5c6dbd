"""No run of a study ended well: the terminal says why, and the exit code is 1."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from thalweg.lab.cli.commands import app

LOOPS = """
def raises(run):
    print("as far as here")
    raise RuntimeError("my own trouble")

def gives_a_dict(run):
    return {"loss": 1.0}

def bad_sgd(run):
    return 1.0 if run.entry.name == "adam" else raises(run)
"""
FEW = ("--direction", "min", "--out")


def run(tmp_path, verb, name, *words):
    (tmp_path / "loops.py").write_text(LOOPS)
    return CliRunner().invoke(app, [verb, f"{tmp_path}/loops.py:{name}", *words, *FEW, str(tmp_path / "study")])


@pytest.mark.parametrize(
    ("verb", "words", "count"),
    [("compare", ("--optimizers", "sgd,adam", "--trials", "2", "--finalist-seeds", "2"), 8),
     ("tune", ("--optimizer", "sgd", "--trials", "2", "--finalist-seeds", "2"), 6),
     ("sweep", ("--optimizers", "sgd", "--points", "3", "--seeds", "1"), 3)],
)  # fmt: skip
def test_why_no_run_ended_well(tmp_path, verb, words, count):
    ended = run(tmp_path, verb, "raises", *words)
    assert ended.exit_code == 1
    reason, log = ended.stdout.splitlines()[-2:]
    assert reason == f"{count} x RuntimeError: my own trouble"
    assert log.startswith(f"log: {tmp_path / 'study' / 'runs'}")
    assert "in raises" in Path(log.removeprefix("log: ")).read_text()


def test_a_machine_reads_the_answer_alone(tmp_path):
    ended = run(tmp_path, "sweep", "gives_a_dict", "--optimizers", "sgd", "--points", "3", "--seeds", "1", "--json")
    assert ended.exit_code == 1
    assert json.loads(ended.stdout)["line"] == ""
    reason, log = ended.stderr.splitlines()[-2:]
    assert reason.startswith("3 x ") and "dict" in reason and log.startswith("log: ")


def test_where_some_runs_end_well_it_is_an_answer(tmp_path):
    ended = run(tmp_path, "sweep", "bad_sgd", "--optimizers", "sgd,adam", "--points", "3", "--seeds", "1")
    assert ended.exit_code == 0 and " x RuntimeError" not in ended.stdout


def test_the_log_of_a_command(tmp_path):
    words = ("--command", "false {seed} {lr}", "--hyperparameters", "lr=1e-3:1", "--trials", "2")
    ended = CliRunner().invoke(app, ["tune", *words, "--finalist-seeds", "2", *FEW, str(tmp_path / "study")])
    reason, log = ended.stdout.splitlines()[-2:]
    assert (ended.exit_code, reason) == (1, "6 x exit code 1")
    assert log.startswith(f"log: {tmp_path / 'study' / 'runs'}") and log.endswith("log.txt")
