"""The evidence: its pages are what its file says, its command resumes after a kill, a cell can be replayed."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
TASKS, RULES, SEEDS = ("rosenbrock", "table"), ("sgd", "adam"), 2


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.chdir(ROOT)
    return importlib.import_module("evidence")


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "generate"))
    return importlib.import_module("evidence_pages")


@pytest.fixture(scope="module")
def data() -> Any:
    import gzip

    return json.loads(gzip.decompress((ROOT / "docs" / "evidence" / "evidence.json.gz").read_bytes()))


def test_the_pages_are_what_the_file_says(pages: ModuleType, data: Any) -> None:
    made = pages.pages(data)
    assert made == {path.name: path.read_text() for path in (ROOT / "docs" / "evidence").glob("*.md")}
    assert all(f"`{name}`" in made["index.md"] for name in (*data["tasks"], *data["rules"]))


def test_only_what_ran_on_all_tasks_is_said_to_be_worse_on_none(pages: ModuleType, data: Any) -> None:
    for line in pages.in_short(data):
        never, fewer = line.partition("failed on none: ")[2].split(" On fewer ran ")
        assert "adahessian" not in never and fewer == "`adahessian` (12)."


def test_a_kinds_verdict_names_its_unit_and_what_each_task_weighs(pages: ModuleType, data: Any) -> None:
    regimes = data["together"]["linear models"]
    assert pages.weighed(data, "all tuned", regimes["all tuned"]["tasks"]) == [
        "`logistic` 0.5 points, `rare_classes` 3.4e-06",
        "`logistic` 1, `rare_classes` 0.0017",
        "`logistic` 11 %, `rare_classes` 89 %",
    ]
    for found in (one for own in data["together"].values() for one in own.values()):
        shares = [one["share"] for one in found["tasks"].values() if one["share"] is not None]
        assert bool(shares) == any(row["verdict"] == "worse" for row in found["rows"].values())
        assert all(0 < one["weight"] <= 1 < 1 / one["margin"] for one in found["tasks"].values())


@pytest.mark.apart
def test_the_file_says_what_the_lab_says_of_its_runs(command: ModuleType, data: Any) -> None:
    place = "logistic/lr tuned"
    own = {regime: command.evidence_data.unpacked(data["studies"][f"logistic/{regime}"]) for regime in data["regimes"]
           if f"logistic/{regime}" in data["studies"]}  # fmt: skip
    scale = command.evidence_data.scale(list(own.values()))
    again = command.evidence_data.judged(own["lr tuned"], scale)
    assert json.loads(json.dumps(again)) == data["judged"][place]


def test_every_cell_has_its_fresh_seeds_or_a_reason(data: Any) -> None:
    for place, study in data["studies"].items():
        task = place.partition("/")[0]
        seeds = study["spec"]["protocol"]["finalist_seeds"]
        finals = [run[0] for run in study["runs"] if run[2] == "final"]
        refused = data["tasks"][task]["refusals"]
        assert {rule: finals.count(rule) for rule in data["rules"]} == {
            rule: 0 if rule in refused else seeds for rule in data["rules"]
        }
        assert all(refused.values())


def test_a_cell_replays_to_the_written_numbers(command: ModuleType, data: Any) -> None:
    pairs = command.replay(data, "table", "defaults", "sgd")
    assert len(pairs) == data["studies"]["table/defaults"]["spec"]["protocol"]["finalist_seeds"]
    assert command.same(pairs)
    (seed, before, now), *rest = pairs
    assert not command.same([(seed, before * 1.001, now), *rest]) and not command.same([])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--tasks tabel", "--tasks: got 'tabel'"),
        ("--regimes default", "--regimes: got 'default'"),
        ("--replay tabel adam", "--replay: there is no cell of tabel"),
        ("--replay table adm", "--replay: there is no cell of table, all tuned, adm"),
        ("--write --rules sgd", "--rules: goes with runs"),
    ],
)
def test_wrong_names_are_one_line(
    words: str, told: str, command: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["evidence.py", *words.split()])
    with pytest.raises(SystemExit) as end:
        command.main()
    assert end.value.code == 2 and told in capsys.readouterr().err


def of_two_rules(study: Any) -> Any:
    spec = {**study["spec"], "optimizers": {rule: study["spec"]["optimizers"][rule] for rule in RULES}}
    settings = {rule: study["configurations"][rule] for rule in RULES}
    return {"spec": spec, "configurations": settings, "runs": [run for run in study["runs"] if run[0] in RULES]}


def test_writing_keeps_what_was_not_made_anew(
    command: ModuleType, data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, file = ("ravine", "table"), tmp_path / "evidence.json.gz"
    short = {f"{name}/defaults": of_two_rules(data["studies"][f"{name}/defaults"]) for name in names}
    known, new = ({tuple(place.split("/")): command.evidence_data.unpacked(study)} for place, study in short.items())
    about = {key: data[key] for key in ("regimes", "rules", "tasks")}
    command.evidence_data.save(file, about, command.KINDS, known)
    monkeypatch.setattr(command, "studies", lambda *_: [(*place, study) for place, study in new.items()])
    command.write(tmp_path, ["table"], command.rules("sgd"), file)
    made = command.evidence_data.read(file)
    assert set(made["tasks"]) == set(names)
    assert made["studies"] == short


@pytest.mark.apart
def test_the_command_goes_on_where_a_kill_stopped_it(tmp_path: Path) -> None:
    asked = [sys.executable, str(ROOT / "benchmarks" / "evidence.py"), "--out", str(tmp_path), "--regimes", "defaults"]
    asked += ["--tasks", ",".join(TASKS), "--rules", ",".join(RULES), "--seeds", str(SEEDS)]
    first = tmp_path / TASKS[0] / "defaults" / "trials.jsonl"
    begun = subprocess.Popen(asked, stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 120
        while not (first.exists() and first.read_bytes().count(b"\n") > 1):
            assert begun.poll() is None and time.monotonic() < end
            time.sleep(0.01)
    finally:
        begun.kill()
        begun.wait()
    before = first.read_bytes()
    whole = before[: before.rfind(b"\n") + 1]
    subprocess.run(asked, check=True, stdout=subprocess.DEVNULL, timeout=120)
    assert first.read_bytes().startswith(whole)
    for task in TASKS:
        lines = (tmp_path / task / "defaults" / "trials.jsonl").read_text().splitlines()
        ids = [json.loads(line)["id"] for line in lines]
        assert len(ids) == len(set(ids)) == len(RULES) * (1 + SEEDS)
