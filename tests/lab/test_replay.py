"""Any trial again, alone, to the same curve; a report again, from the folder alone."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import little
import pytest
import torch
from typer.testing import CliRunner

from thalweg.lab.cli.commands import app
from thalweg.lab.errors import StudyError, TaskError
from thalweg.lab.results import Comparison, Sweep
from thalweg.lab.training.agreement import distance
from thalweg.lab.verbs.compare import compare
from thalweg.lab.verbs.replay import replay, report
from thalweg.lab.verbs.sweep import sweep


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    folder = tmp_path_factory.mktemp("mine")
    (folder / "mine.py").write_text(little.FILE)
    contenders = ["sgd", torch.optim.Adam, "adam(betas=(0.8, 0.99))"]
    return compare(f"{folder / 'mine.py'}:task", contenders, trials=4, on="alone", out=folder / "study")


@pytest.mark.apart
def test_every_trial_again_bit_for_bit(found: Comparison) -> None:
    chosen = {(trial.optimizer, trial.phase): trial for trial in found.trials}
    assert len(chosen) == 6
    for trial in chosen.values():
        again = replay(found.folder, trial.id[:12], task=found.spec["task"]["from"])
        assert again.apart == 0 and again.same and again.verdict.endswith("The same, bit for bit.")
        assert again.again.curve == trial.curve and again.again.test_metric == trial.test_metric


def test_the_command(found: Comparison) -> None:
    named = ["--task", found.spec["task"]["from"]]
    result = CliRunner().invoke(app, ["replay", str(found.folder), found.trials[0].id, *named])
    assert result.exit_code == 0 and "bit for bit" in result.stdout
    assert len(result.stdout.splitlines()) == 1 + 3 + 2  # headings, epochs, the verdict
    result = CliRunner().invoke(app, ["replay", str(found.folder), "zzz"])
    assert result.exit_code == 2 and "none that begins with 'zzz'; it has" in result.stderr


def test_another_curve_is_noticed(found: Comparison, tmp_path: Path) -> None:
    for name in ("spec.json", "versions.json"):
        (tmp_path / name).write_text((found.folder / name).read_text())
    record = json.loads((found.folder / "trials.jsonl").read_text().splitlines()[0])
    record["curve"]["train_loss"][1] *= 1 + 1e-3
    (tmp_path / "trials.jsonl").write_text(json.dumps(record) + "\n")
    named = found.spec["task"]["from"]
    again = replay(tmp_path, record["id"], task=named)
    assert not again.same and again.apart == pytest.approx(1e-3, rel=0.01) and "Not the same" in again.verdict
    assert CliRunner().invoke(app, ["replay", str(tmp_path), record["id"], "--task", named]).exit_code == 1
    record["status"] = "diverged"
    (tmp_path / "trials.jsonl").write_text(json.dumps(record) + "\n")
    assert replay(tmp_path, record["id"], task=named).verdict.endswith("Another end: done (None).")


def test_distance(found: Comparison) -> None:
    one = found.trials[0]
    near = replace(one, curve=replace(one.curve, train_loss=[x * (1 + 1e-7) for x in one.curve.train_loss]))
    assert distance(one, one) == 0 and distance(one, near) == pytest.approx(1e-7, rel=0.01)
    broken = replace(one, curve=replace(one.curve, train_loss=[math.nan, *one.curve.train_loss[1:]]))
    assert distance(one, broken) == math.inf and distance(broken, broken) == 0


def test_what_cannot_be_replayed(found: Comparison, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="is not a study"):
        replay(tmp_path, "a")
    with pytest.raises(StudyError, match="none that begins with ''"):
        replay(found.folder, "")
    study = sweep(little.task(), "sgd", points=2, seeds=1, epochs=1, extend=False, out=tmp_path / "object")
    with pytest.raises(TaskError, match="was an object in Python; must be given again"):
        replay(study.folder, study.trials[0].id)
    assert replay(study.folder, study.trials[0].id, task=little.task()).same
    with pytest.raises(TaskError, match="is not the study's task any more"):
        replay(study.folder, study.trials[0].id, task=little.task(train=little.rows(128, 5)))


@pytest.mark.apart
def test_a_report_from_the_folder_alone(found: Comparison) -> None:
    written = {name: (found.folder / name).read_text() for name in ("table.csv", "result.json")}
    for name in (*written, "report.html"):
        (found.folder / name).unlink()
    again = report(found.folder)
    assert isinstance(again, Comparison) and str(again) == str(found) and again.notes == found.notes
    assert {name: (found.folder / name).read_text() for name in written} == written
    result = CliRunner().invoke(app, ["report", str(found.folder)])
    assert result.exit_code == 0 and found.line in result.stdout


def test_a_sweeps_report_and_what_has_none(tmp_path: Path) -> None:
    made = sweep(little.task(), "sgd", points=2, seeds=1, epochs=1, extend=False, out=tmp_path / "s")
    again = report(tmp_path / "s")
    assert isinstance(again, Sweep) and str(again) == str(made)
    with pytest.raises(StudyError, match="is not a study"):
        report(tmp_path)
    (tmp_path / "s" / "trials.jsonl").write_text("")
    with pytest.raises(StudyError, match="is unfinished: no run of sgd has ended"):
        report(tmp_path / "s")


def test_a_study_that_is_not_at_its_end_says_what_is_missing(found: Comparison, tmp_path: Path) -> None:
    for name in ("spec.json", "versions.json"):
        (tmp_path / name).write_text((found.folder / name).read_text())
    lines = (found.folder / "trials.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "trials.jsonl").write_text("".join(lines[:-1]))
    with pytest.raises(StudyError, match="is unfinished: it lacks 1 fresh seed of .*; rerun its command"):
        report(tmp_path)
    (tmp_path / "trials.jsonl").write_text("".join(lines[:12]))
    with pytest.raises(StudyError, match="no fresh seed of sgd, "):
        report(tmp_path)
    assert not (tmp_path / "report.html").exists()
