"""A study that somebody else made: reading it runs none of its code, running it again says whose code that is."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import little
import pytest
import torch
from typer.testing import CliRunner

from thalweg.lab.cli.commands import app
from thalweg.lab.errors import LabError, TaskError
from thalweg.lab.results import Comparison
from thalweg.lab.runners import choice
from thalweg.lab.verbs.compare import compare
from thalweg.lab.verbs.replay import replay, report

HOSTILE = "import pathlib\npathlib.Path({mark!r}).write_text('ran')\nfrom torch.optim import SGD as Sneaky\n"


class Mine(torch.optim.SGD):
    pass


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    folder = tmp_path_factory.mktemp("mine")
    (folder / "own.py").write_text(little.FILE)
    asked: dict[str, Any] = {"trials": 2, "finalist_seeds": 2, "on": "alone", "out": folder / "s"}
    return compare(f"{folder / 'own.py'}:task", ["sgd", Mine, torch.optim.Adam], **asked)


@pytest.fixture
def hostile(honest: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same study, with other code named in all places that name code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "hostile.py").write_text(HOSTILE.format(mark=str(tmp_path / "mark")))
    folder = tmp_path / "s"
    folder.mkdir()
    for name in ("spec.json", "versions.json", "trials.jsonl"):
        text = (honest.folder / name).read_text()
        for old, new in {"test_strangers.Mine": "hostile.py:Sneaky", "test_strangers": "hostile"}.items():
            text = text.replace(old, new)
        (folder / name).write_text(text)
    spec = json.loads((folder / "spec.json").read_text())
    spec["task"]["from"] = "hostile.py:task"
    spec["optimizers"]["hostile.py:Sneaky"]["class"] = "Sneaky"
    (folder / "spec.json").write_text(json.dumps(spec))
    return folder


@pytest.mark.apart
def test_reading_imports_nothing(hostile: Path) -> None:
    before = list(sys.path)
    found = report(hostile)
    assert {row.optimizer for row in found.rows} == {"sgd", "torch.Adam", "hostile.py:Sneaky"}
    assert any(line.startswith("hostile.Sneaky(model.parameters()") for line in found.lines.values())
    assert any(line.startswith("torch.optim.Adam(model.parameters()") for line in found.lines.values())
    for words in (("report",), ("export", "--to", "optuna"), ("export", "--to", "tensorboard")):
        assert CliRunner().invoke(app, [*words, str(hostile)]).exit_code == 0
    assert not (hostile.parent / "mark").exists() and "hostile" not in sys.modules and sys.path == before


def test_what_must_run_code_says_whose(hostile: Path, honest: Comparison) -> None:
    theirs = next(t.id for t in honest.trials if "Mine" in t.optimizer)
    plain = next(t.id for t in honest.trials if t.optimizer == "sgd")
    with pytest.raises(TaskError, match=r"names code to run, hostile.py:task; .* name it: --task hostile.py:task"):
        replay(hostile, plain)
    with pytest.raises(LabError, match=r"is code of hostile, .* --optimizer hostile:Sneaky"):
        replay(hostile, theirs, task=honest.spec["task"]["from"])
    assert not (hostile.parent / "mark").exists() and "hostile" not in sys.modules
    mine = honest.spec["task"]["from"]
    assert replay(honest.folder, plain, task=mine).same
    assert replay(honest.folder, theirs, task=mine, optimizer=Mine).same
    with pytest.raises(LabError, match="is not the study's"):
        replay(honest.folder, theirs, task=mine, optimizer="adam")
    with pytest.raises(TaskError, match="names code to run"):
        replay(honest.folder, plain)
    torchs = next(t.id for t in honest.trials if t.optimizer == "torch.Adam")
    assert replay(honest.folder, torchs, task=mine).same


def test_a_folder_does_not_say_which_cluster_gets_the_code(
    hostile: Path, honest: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = json.loads((hostile / "versions.json").read_text())
    versions["runner"]["on"] = "ray:192.0.2.1:6379"
    (honest.folder / "versions.json").write_text(json.dumps(versions))
    monkeypatch.setattr(choice, "_on_ray", lambda *what: pytest.fail("connects to a cluster that the folder names"))
    asked: dict[str, Any] = {"trials": 2, "finalist_seeds": 3, "out": honest.folder}
    compare(honest.spec["task"]["from"], ["sgd", Mine, torch.optim.Adam], **asked)


def test_the_line_to_paste_holds_no_code(hostile: Path) -> None:
    spec = json.loads((hostile / "spec.json").read_text())
    for key, value in [("class", "x(); import os; os"), ("module", "os\nimport x"), ("settings", {"a=1); b(": 1})]:
        changed = json.loads(json.dumps(spec))
        changed["optimizers"]["hostile.py:Sneaky"][key] = value
        (hostile / "spec.json").write_text(json.dumps(changed))
        with pytest.raises(LabError, match="is damaged: optimizers.hostile.py:Sneaky"):
            report(hostile)
