"""TensorBoard event files and offline runs of Weights & Biases, read back with their own readers."""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path
from typing import Any

import little
import pytest
import quadratic
from typer.testing import CliRunner

import thalweg
from thalweg.lab.cli.commands import app
from thalweg.lab.errors import LabError, StudyError
from thalweg.lab.exports.run import name_of
from thalweg.lab.results import Sweep
from thalweg.lab.training.climb import PHASE
from thalweg.lab.verbs.export import export
from thalweg.lab.verbs.range_test import range_test
from thalweg.lab.verbs.sweep import sweep


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """Two learning rates, one of which diverges."""
    out = tmp_path_factory.mktemp("study")
    return sweep(quadratic.task(), "sgd", lr=(0.1, 10), points=2, seeds=1, extend=False, out=out)


def test_tensorboard_reads_back_curves_and_settings(found: Sweep, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2

    assert export(found.folder, "tensorboard", tmp_path) == tmp_path
    assert {path.name for path in tmp_path.iterdir()} == {name_of(trial) for trial in found.trials}
    for trial in found.trials:
        events = EventAccumulator(str(tmp_path / name_of(trial)))
        events.Reload()
        if trial.done:
            candidates = events.Scalars("validation/digits_of_distance")
            assert [candidate.step for candidate in candidates] == trial.curve.steps
            assert [candidate.value for candidate in candidates] == pytest.approx(trial.curve.validation_metric)
            assert events.Scalars("final/validation_metric")[0].value == pytest.approx(trial.metric)
            assert len(events.Scalars("train/loss")) == len(trial.curve.steps)
        metadata = events.summary_metadata["_hparams_/session_start_info"]
        data = plugin_data_pb2.HParamsPluginData.FromString(metadata.plugin_data.content)
        told = data.session_start_info.hparams
        assert told["lr"].number_value == trial.settings["lr"] and told["seed"].number_value == trial.seed
        assert told["optimizer"].string_value == "sgd" and told["status"].string_value == trial.status
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("events*")}
    export(found.folder, "tensorboard", tmp_path)  # again adds nothing
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("events*")} == times


@pytest.mark.apart
def test_wandb_reads_back_offline(found: Sweep, tmp_path: Path) -> None:
    before = dict(os.environ)
    export(found.folder, "wandb", tmp_path)
    assert dict(os.environ) == before
    runs = sorted(tmp_path.glob("wandb/offline-run-*/*.wandb"))
    assert len(runs) == len(found.trials)
    for trial in found.trials:
        (path,) = [path for path in runs if trial.id in path.name]
        records = list(_records(path))
        (run,) = [record.run for record in records if record.WhichOneof("record_type") == "run"]
        config = {item.key: item.value_json for item in run.config.update}
        assert run.display_name == name_of(trial) and float(config["lr"]) == trial.settings["lr"]
        rows = [record.history for record in records if record.WhichOneof("record_type") == "history"]
        assert len(rows) == len(trial.curve.steps)
        if trial.done:
            seen = [_row(row)["validation/digits_of_distance"] for row in rows]
            assert [float(text) for text in seen] == pytest.approx(trial.curve.validation_metric)
    export(found.folder, "wandb", tmp_path)
    assert len(list(tmp_path.glob("wandb/offline-run-*/*.wandb"))) == len(runs)


@pytest.mark.apart
def test_on_request_with_a_verb_and_by_the_command(found: Sweep, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(little.FILE)
    words = ["sweep", f"{tmp_path / 'mine.py'}:task", "--optimizer", "sgd", "--points", "2", "--seeds", "1"]
    words += ["--epochs", "1", "--no-extend", "--on", "alone", "--tensorboard", "--out", str(tmp_path / "s")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert len(list((tmp_path / "s" / "tensorboard").iterdir())) == 3
    result = CliRunner().invoke(app, ["export", str(tmp_path / "s"), "--to", "optuna"])
    assert result.exit_code == 0 and "Optuna study 's', 3 trials" in result.stdout
    assert (tmp_path / "s" / "optuna.db").exists()


def test_what_cannot_be_exported(found: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LabError, match="to: got 'mlflow'; must be tensorboard, wandb, optuna"):
        export(found.folder, "mlflow")
    with pytest.raises(StudyError, match="is not a study"):
        export(tmp_path, "wandb")
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match="out: cannot write to"):
        export(found.folder, "wandb", tmp_path / "file" / "below")
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(LabError, match=r"wandb is not installed: pip install 'thalweg\[wandb\]'"):
        export(found.folder, "wandb", tmp_path / "w")
    result = CliRunner().invoke(app, ["sweep", "digits", "--optimizer", "sgd", "--wandb", "--out", str(tmp_path / "x")])
    assert result.exit_code == 2 and "pip install" in result.stderr and not (tmp_path / "x").exists()


def _records(path: Path) -> Any:
    """The file is a LevelDB log: blocks of 32 KiB after a header of 7 bytes, records that may span several blocks."""
    from wandb.proto import wandb_internal_pb2

    data, place, whole = path.read_bytes(), 7, b""
    assert data[:4] == b":W&B"
    while place + 7 <= len(data):
        if 2**15 - place % 2**15 < 7:  # too little left of the block for a header
            place += 2**15 - place % 2**15
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        whole = (b"" if kind in (1, 2) else whole) + data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            yield record


def _row(history: Any) -> dict[str, str]:
    return {item.key or "/".join(item.nested_key): item.value_json for item in history.item}


def test_a_climb_that_ended_where_it_diverged_is_pruned(tmp_path: Path) -> None:
    found = range_test(quadratic.task(), "sgd", low=1e-3, high=10, steps=60, seeds=1, out=tmp_path / "study")
    states = {trial.user_attrs["id"]: trial.state.name for trial in export(found.folder, "optuna").trials}
    climbs = {trial.id for trial in found.trials if trial.phase == PHASE}
    assert climbs and {states[each] for each in climbs} == {"PRUNED"}


def test_every_name_of_the_package_can_be_had_from_it() -> None:
    for name in thalweg.__all__:
        assert getattr(thalweg, name) is not None, name
    assert thalweg.export is export
