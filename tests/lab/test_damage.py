"""A study's folder damaged in every way that comes to mind: whatever reads it works, or says one line."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import little
import pytest
from typer.testing import CliRunner

from thalweg.lab import report
from thalweg.lab.cli.commands import app
from thalweg.lab.errors import LabError
from thalweg.lab.study.records import read_spec
from thalweg.lab.study.store import differences
from thalweg.lab.verbs.compare import compare
from thalweg.lab.verbs.range_test import range_test
from thalweg.lab.verbs.sweep import sweep
from thalweg.lab.verbs.tune import tune

PUT = (None, "", "x", -1, 0, 1.5, 10**30, float("nan"), True, [], ["x"], [[]], {}, {"x": 1}, "\x1b[31m\ud800")
ENDS = (b"", b"\0", b"null", b"[]", b"[" * 10**5, b'"', b"\xff\xfe", b"{}", b"1e999", b"9" * 5000)
FILES = ("spec.json", "versions.json", "trials.jsonl", "result.json", "table.csv", "lock")


def again(verb: str, folder: Path) -> Any:
    """The command that made the study, which resumes it."""
    small: dict[str, Any] = {"on": "alone", "out": folder}
    if verb == "compare":
        return compare(little.task(epochs=1), ["sgd", "adam"], trials=3, finalist_seeds=2, **small)
    if verb == "sweep":
        return sweep(little.task(epochs=1), ["sgd"], points=3, closer=0, seeds=1, extend=False, **small)
    if verb == "range-test":
        return range_test(little.task(epochs=1), "adam", seeds=1, steps=20, **small)
    return tune(little.task(epochs=1), "adam", method="sobol", trials=3, finalist_seeds=2, **small)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("whole")
    verbs = ("compare", "sweep", "range-test", "tune")
    return {verb: again(verb, folder / verb).folder for verb in verbs}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for key, part in inner:
        yield from places(part, (*path, key))


def changed(value: Any, path: tuple[Any, ...], put: Any) -> Any:
    """A copy with another value at a place; with none where `put` is Ellipsis."""
    if not path:
        return put if put is not ... else {}
    value = json.loads(json.dumps(value))
    at = value
    for key in path[:-1]:
        at = at[key]
    if put is ...:
        del at[path[-1]]
    else:
        at[path[-1]] = put
    return value


def mutations(folder: Path) -> Iterator[tuple[str, str, bytes | None]]:
    """What was done, the file, and what it holds then; None for a file that is gone."""
    for name in FILES:
        data = (folder / name).read_bytes()
        yield "gone", name, None
        for text in ENDS:
            yield f"is {text[:9]!r}", name, text
        for cut in range(1, 10):
            yield f"cut at {cut}/10", name, data[: len(data) * cut // 10]
        rng = random.Random(name)
        for _ in range(10 if data else 0):
            place = rng.randrange(len(data))
            yield f"byte {place} flipped", name, data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :]
    for name in ("spec.json", "versions.json"):
        value = json.loads((folder / name).read_text())
        for path in places(value):
            for put in (..., *PUT):
                yield f"{path} -> {put!r}", name, json.dumps(changed(value, path, put)).encode()
    lines = (folder / "trials.jsonl").read_bytes().splitlines(keepends=True)
    for place in (0, len(lines) - 1):
        value = json.loads(lines[place])
        for path in places(value):
            for put in (..., *PUT):
                new = json.dumps(changed(value, path, put)).encode() + b"\n"
                yield (
                    f"line {place} {path} -> {put!r}",
                    "trials.jsonl",
                    b"".join([*lines[:place], new, *lines[place + 1 :]]),
                )
    for place in range(len(lines)):
        yield f"line {place} gone", "trials.jsonl", b"".join(lines[:place] + lines[place + 1 :])
        yield f"line {place} alone", "trials.jsonl", lines[place]


def some(folder: Path, count: int) -> list[tuple[str, str, bytes | None]]:
    """So many of them, the same each time; THALWEG_EVERY_DAMAGE=1 tries them all, some 8,000, in ten minutes."""
    tried = list(mutations(folder))
    assert len(tried) > 500
    return tried if os.environ.get("THALWEG_EVERY_DAMAGE") else random.Random(1).sample(tried, count)


def damage(whole: Path, target: Path, name: str, data: bytes | None) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(whole, target, ignore=shutil.ignore_patterns("report.html"))
    if data is None:
        (target / name).unlink()
    else:
        (target / name).write_bytes(data)


def look(*words: str) -> str:
    """What a command says on standard error; it must not raise, and end with 0, or with 2 and one line."""
    result = CliRunner().invoke(app, list(words))
    code, error = result.exit_code, result.stderr
    if not isinstance(result.exception, SystemExit | None):
        raise result.exception
    assert code == 0 or (code == 2 and error.count("\n") == 1) or (words[0] == "replay" and code == 1), (code, error)
    assert "\x1b" not in result.output
    return error


@pytest.mark.apart
@pytest.mark.parametrize("verb", ["compare", "sweep", "range-test", "tune"])
def test_reading_a_damaged_study(
    verb: str, whole: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thalweg.lab.report.render", lambda found: "")  # half a second each; tried below
    wrong, refused, tried = [], 0, some(whole[verb], 60)
    for what, name, data in tried:
        damage(whole[verb], tmp_path / "s", name, data)
        try:
            refused += bool(look("report", str(tmp_path / "s")))
        except BaseException as error:
            wrong.append(f"{name} {what}: {type(error).__name__}: {error}")
    assert not wrong, "\n".join([f"{len(wrong)} of {len(tried)}", *wrong[:30]])
    assert 0.2 < refused / len(tried) < 0.95  # some harm, some do not


@pytest.mark.apart
@pytest.mark.parametrize("verb", ["compare", "sweep", "range-test", "tune"])
def test_a_damaged_study_gone_on_with_replayed_exported_and_drawn(
    verb: str, whole: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drawn from what is left of it; what was trained again, and mended so, is like any other study."""
    wrong, render = [], report.render
    for what, name, data in some(whole[verb], 8):
        target = tmp_path / "s"
        trial = json.loads((whole[verb] / "trials.jsonl").read_text().splitlines()[-1])["id"]
        for act in ("resume", "replay", "optuna", "report"):
            damage(whole[verb], target, name, data)
            monkeypatch.setattr(report, "render", render if act == "report" else lambda found: "")
            try:
                if act == "resume":
                    try:
                        again(verb, target)
                    except LabError as error:
                        assert "\n" not in str(error)
                elif act == "replay":
                    look("replay", str(target), trial)
                elif act == "optuna":
                    look("export", str(target), "--to", "optuna")
                else:
                    look("report", str(target))
            except BaseException as error:
                wrong.append(f"{act}, {name} {what}: {type(error).__name__}: {error}")
    assert not wrong, "\n".join(wrong[:30])


@pytest.mark.parametrize("name", FILES[:4])
def test_a_folder_where_a_file_should_be(name: str, whole: dict[str, Path], tmp_path: Path) -> None:
    target = tmp_path / "s"
    damage(whole["compare"], target, name, None)
    (target / name).mkdir()
    assert look("report", str(target)).startswith("thalweg: ")
    with pytest.raises(LabError):
        again("compare", target)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], "is damaged: must be an object with a task, optimizers and a protocol; "),
        ({"task": {"parts": {"": 3}}}, "is damaged: task.parts['']: got 3; must be a text; "),
        ({"optimizers": {" ": 3}}, "is damaged: optimizers[' ']: got 3; must be an object; "),
    ],
    ids=str,
)
def test_what_is_damaged_has_a_name(value: Any, said: str, tmp_path: Path) -> None:
    task = {"name": "a", "identity": "a", "metric": "loss", "larger_is_better": False, "epochs": 1, "batch_size": 1}
    task = {**task, "margin": None, "data": {}}
    spec = value
    if value:
        spec = {"optimizers": {}, "protocol": {}, **value, "task": {**task, **value.get("task", {})}}
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    with pytest.raises(LabError, match=re.escape(f"spec.json: {said}")):
        read_spec(tmp_path)


def test_what_one_of_two_specs_lacks_is_told() -> None:
    assert differences({"a": {"": None}}, {"a": {}}) == ["a.'': null -> absent"]
    assert differences({}, {" ": 1}) == ["' ': absent -> 1"]
