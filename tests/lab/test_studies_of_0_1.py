"""Studies that version 0.1 wrote: they are read and reported as they were, and their commands go on with them."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import pytest

import thalweg
from thalweg.lab.verbs.replay import replay, report

STUDIES = Path(__file__).parent / "studies_of_0_1"
COMMANDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "compare": (thalweg.compare, {"finalist_seeds": 3, "optimizers": "adam,sgd", "preset": "quick"}),
    "sweep": (thalweg.sweep, {"optimizers": "sgd"}),
    "tune": (thalweg.tune, {"optimizer": "adam", "trials": 8}),
    "range_test": (thalweg.range_test, {"optimizer": "sgd", "seeds": 2}),
}


@pytest.fixture(params=COMMANDS)
def study(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    return request.param, Path(shutil.copytree(STUDIES / request.param, tmp_path / request.param))


# What 0.1 did not have: a rate that keeps a margin from where runs fail, and the line that says it with all else that
# was trained.
LATER = {"recommended_lr", "failure_chance", "line"}


def table(folder: Path) -> list[dict[str, str]]:
    """What was found, by today's names of the columns: 0.1 said "trainings" for runs."""
    with open(folder / "table.csv", newline="", encoding="utf-8") as file:
        rows = [{name.replace("trainings", "runs"): cell for name, cell in row.items()} for row in csv.DictReader(file)]
    return [{name: rounded(cell) for name, cell in row.items() if name not in LATER} for row in rows]


def rounded(cell: str) -> str:
    """SciPy's quantiles differ by 1e-11 from version to version."""
    try:
        return f"{float(cell):.9g}"
    except ValueError:
        return cell


def test_it_is_read_and_reported_as_it_was(study: tuple[str, Path]) -> None:
    verb, folder = study
    before = table(folder)
    found = report(folder)
    assert found.verb.replace("-", "_") == verb and found.verdict and (folder / "report.html").stat().st_size > 100_000
    assert table(folder) == before


def test_its_command_runs_nothing_again(study: tuple[str, Path]) -> None:
    verb, folder = study
    function, settings = COMMANDS[verb]
    before = (folder / "trials.jsonl").read_bytes(), table(folder)
    function("quadratic", **settings, out=folder)
    assert ((folder / "trials.jsonl").read_bytes(), table(folder)) == before


def test_a_comparison_goes_on_with_more_seeds(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(STUDIES / "compare", tmp_path / "compare"))
    old = (folder / "trials.jsonl").read_bytes()
    found = thalweg.compare("quadratic", "adam,sgd", preset="quick", finalist_seeds=4, out=folder)
    new = (folder / "trials.jsonl").read_bytes()
    assert new.startswith(old) and new.count(b"\n") == old.count(b"\n") + 2
    assert {len(row.finals) for row in found.rows} == {4}


def test_a_trial_of_it_is_the_same_today(study: tuple[str, Path]) -> None:
    _, folder = study
    trial = report(folder).trials[0]
    assert replay(folder, trial.id).same
