"""The study's folder: one writer, append-only, whole again after a kill, and NaN told as NaN."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from asking import SPEC

from thalweg.lab.errors import StudyError
from thalweg.lab.study.records import read_trials, to_json
from thalweg.lab.study.store import Study, write_atomically
from thalweg.lab.training.trial import Curve, Trial


def trial(id: str, value: float = 0.5) -> Trial:
    curve = Curve([4, 8], [1.0, value], [value, math.inf], [value, -math.inf])
    return Trial(
        id=id, phase="search", index=0, optimizer="adam", settings={"lr": 0.1}, seed=0, status="diverged",
        message="NaN", steps=8, curve=curve, test_loss=None, test_metric=math.nan, seconds=0.1, started=0.0,
    )  # fmt: skip


def study(folder: Path, **changes: Any) -> Study:
    return Study(folder, {**SPEC, **changes}, {"torch": "2"})


def test_what_is_written_is_read_again_with_its_nan_and_infinity(tmp_path: Path) -> None:
    with study(tmp_path) as open_study:
        open_study.add(trial("a", math.nan))
    text = (tmp_path / "trials.jsonl").read_text()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    found = read_trials(tmp_path / "trials.jsonl")["a"]
    assert repr(found) == repr(trial("a", math.nan))
    assert found.message == "NaN"  # a text stays a text
    assert to_json({"x": [math.nan, math.inf, -math.inf, 1.0]}) == {"x": ["NaN", "Infinity", "-Infinity", 1.0]}


@pytest.mark.parametrize("cut", [1, 20, 200])
def test_a_torn_last_line_is_cut_off(tmp_path: Path, cut: int) -> None:
    with study(tmp_path) as open_study:
        for name in "abc":
            open_study.add(trial(name))
    path = tmp_path / "trials.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    assert list(read_trials(path)) == ["a", "b"]
    with study(tmp_path) as open_study:
        assert list(open_study.trials) == ["a", "b"]
        open_study.add(trial("d"))
    assert list(read_trials(path)) == ["a", "b", "d"]
    assert len(path.read_bytes().splitlines()) == 3


def test_a_last_line_of_wrong_bytes_is_cut_off_too(tmp_path: Path) -> None:
    with study(tmp_path) as open_study:
        open_study.add(trial("a"))
    path = tmp_path / "trials.jsonl"
    path.write_bytes(path.read_bytes() + b"\x00\x00\x00\n")
    with study(tmp_path) as open_study:
        assert list(open_study.trials) == ["a"]
    assert path.read_bytes().count(b"\n") == 1


def test_a_broken_line_in_the_middle_is_told(tmp_path: Path) -> None:
    with study(tmp_path) as open_study:
        open_study.add(trial("a"))
        open_study.add(trial("b"))
    path = tmp_path / "trials.jsonl"
    path.write_text(path.read_text().replace('{"id": "a"', '{"id" "a"'))
    with pytest.raises(StudyError, match=r"trials\.jsonl, line 1: cannot be read"), study(tmp_path):
        pass


def test_one_writer(tmp_path: Path) -> None:
    with study(tmp_path), pytest.raises(StudyError, match="another process is working in"), study(tmp_path):
        pass
    with study(tmp_path):  # the lock went with the first writer
        pass


def test_other_settings_are_refused_with_the_difference(tmp_path: Path) -> None:
    with study(tmp_path):
        pass
    other = {"protocol": {"trials": 9, "finalist_seeds": 3}, "task": {"identity": "b"}}
    with pytest.raises(StudyError) as error, study(tmp_path, **other):
        pass
    assert 'task.identity: "a" -> "b"' in str(error.value) and "protocol.trials: 8 -> 9" in str(error.value)
    assert "(the task's source, its data or its model has changed)" in str(error.value)
    assert f"Add --out {tmp_path}-2 to keep both" in str(error.value)
    with study(tmp_path):  # and nothing was overwritten
        pass


def test_fresh_seeds_may_grow(tmp_path: Path) -> None:
    with study(tmp_path):
        pass
    with study(tmp_path, protocol={**SPEC["protocol"], "finalist_seeds": 5}) as open_study:
        assert open_study.spec["protocol"]["finalist_seeds"] == 5
    with study(tmp_path) as open_study:
        assert open_study.spec["protocol"]["finalist_seeds"] == 5
        assert "already has 5 fresh seeds" in open_study.notes[0]


def test_other_versions_are_noted(tmp_path: Path) -> None:
    with study(tmp_path):
        pass
    for _ in range(2):
        with Study(tmp_path, SPEC, {"torch": "3"}) as open_study:
            assert 'torch: "2" -> "3"' in open_study.notes[0]
    assert json.loads((tmp_path / "versions.json").read_text())["resumed_with"] == [{"torch": "3"}]


def test_folders_that_will_not_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match="is a file; must be a folder"), study(tmp_path / "file"):
        pass
    (tmp_path / "spec.json").write_text("{")
    with pytest.raises(StudyError, match=r"spec\.json: cannot be read"), study(tmp_path):
        pass


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write_atomically(path, lambda: "old")
    with pytest.raises(RuntimeError):
        write_atomically(path, lambda: (_ for _ in ()).throw(RuntimeError))
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["table.csv"]
