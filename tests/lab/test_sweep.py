"""A sweep: what theory knows of a quadratic, the whole range, the default, the edge, resume."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import little
import pytest
import quadratic
import torch

from thalweg.lab.errors import LabError, StudyError
from thalweg.lab.results import Sweep
from thalweg.lab.study.campaign import Progress
from thalweg.lab.verbs.sweep import sweep


@pytest.fixture(scope="module")
def bowl(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    return sweep(quadratic.task(), "sgd", lr=(0.02, 2.0), points=25, closer=0, out=tmp_path_factory.mktemp("bowl"))


@pytest.mark.apart
def test_the_best_rate_of_theory_is_in_the_range(bowl: Sweep) -> None:
    (row,) = bowl.rows
    assert row.best.rate == quadratic.BEST and row.as_good is not None
    assert row.as_good[0] <= quadratic.BEST <= row.as_good[1]
    assert row.as_good[0] <= row.best.rate <= row.as_good[1]


def test_the_point_of_divergence_brackets_that_of_theory(bowl: Sweep) -> None:
    (row,) = bowl.rows
    assert row.highest_stable < quadratic.LARGEST < row.fails_from
    assert row.fails_from / row.highest_stable == pytest.approx(100 ** (1 / 24), rel=0.02)  # neighbors on the grid


def test_the_answer_says_it(bowl: Sweep) -> None:
    (row,) = bowl.rows
    for part in (f"lr {row.best.rate:.3g} ends best", f"stable up to {row.highest_stable:.3g}", "3 seeds"):
        assert part in bowl.verdict
    model = quadratic.Bowl()
    optimizer = eval(bowl.line, {"thalweg": __import__("thalweg.optim"), "model": model})
    assert optimizer.param_groups[0]["lr"] == row.recommended.rate <= row.best.rate
    assert bowl.to_pandas().loc[0, "lr"] == row.best.rate
    assert str(bowl).count("\n") == 4 and "<table>" in bowl._repr_html_()


def test_every_rate_on_every_seed_and_the_default_first(bowl: Sweep) -> None:
    assert {t.seed for t in bowl.trials} == {0, 1, 2} and {t.phase for t in bowl.trials} == {"search"}
    tried = bowl.candidates["sgd"]
    assert tried[0].rate == 1e-3  # torch's default, outside the range
    assert [candidate.index for candidate in tried] == list(range(26)) and all(len(p.trials) == 3 for p in tried)
    rates = [candidate.rate for candidate in tried[1:]]
    assert rates[0] == 0.02 and rates[-1] == 2.0
    steps = [math.log10(b / a) for a, b in pairwise(rates)]
    assert steps == pytest.approx([2 / 24] * 24, abs=0.005)


def test_the_test_set_is_not_read(bowl: Sweep) -> None:
    assert all(trial.test_metric is None for trial in bowl.trials)


@pytest.mark.apart
def test_a_best_rate_at_the_edge_is_followed(tmp_path: Path) -> None:
    found = sweep(quadratic.task(), "sgd", lr=(1e-4, 1e-2), points=5, closer=0, seeds=1, out=tmp_path / "on")
    (row,) = found.rows
    assert row.best.rate == pytest.approx(0.1) and not row.on_edge
    assert row.as_good is not None and row.fails_from > quadratic.LARGEST > row.highest_stable
    stay = sweep(quadratic.task(), "sgd", lr=(1e-4, 1e-2), points=5, seeds=1, extend=False, out=tmp_path / "stay")
    assert stay.rows[0].on_edge and stay.rows[0].best.rate == 1e-2 and "on the edge" in stay.verdict
    down = sweep(quadratic.task(), "sgd", lr=(0.21, 21), points=5, seeds=1, out=tmp_path / "down")
    assert down.rows[0].best.rate <= 0.21 and len(down.candidates["sgd"]) > 6


@pytest.mark.apart
def test_a_sharp_valley_between_two_points_of_a_coarse_grid_is_found(tmp_path: Path) -> None:
    found = sweep("quadratic", "sgd", out=tmp_path)  # the grid has 0.01 and 0.0215, which breaks
    (row,) = found.rows
    assert row.as_good is not None and row.as_good[0] < 2 / 110 < row.as_good[1]
    assert row.highest_stable < 2 / 100 < row.fails_from
    assert [candidate.rate for candidate in found.candidates["sgd"] if candidate.index > 100_000 - 5000] != []


def test_a_default_on_the_grid_is_trained_once(tmp_path: Path) -> None:
    found = sweep(little.task(), "adam", lr=(1e-4, 1e-2), points=3, seeds=1, epochs=1, extend=False, out=tmp_path)
    assert sorted(candidate.rate for candidate in found.candidates["adam"]) == [1e-4, 1e-3, 1e-2]
    assert found.rows[0].default.rate == 1e-3


@pytest.mark.apart
def test_several_optimizers_and_one_that_fails_everywhere(tmp_path: Path) -> None:
    class Broken(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            raise RuntimeError("no such kernel")

    found = sweep(little.task(), ["sgd", Broken], points=3, seeds=3, epochs=1, out=tmp_path)
    assert found.rows[0].optimizer == "sgd" and found.rows[1].failed
    assert "fails everywhere" in found.verdict and "no such kernel" in " ".join(found.notes)
    assert math.isnan(found.table[1]["lr"]) and found.table[1]["failed_share"] == 1.0
    alone = sweep(little.task(), Broken, points=2, seeds=1, epochs=1, out=tmp_path / "alone")
    assert alone.verdict.startswith("No answer for little") and alone.line == ""
    assert "<html" in (tmp_path / "alone" / "report.html").read_text()


@pytest.mark.apart
def test_the_same_again_trains_nothing_and_more_seeds_only_those(tmp_path: Path) -> None:
    first = sweep(little.task(), "sgd", points=3, seeds=1, epochs=1, out=tmp_path)
    seen: list[Progress] = []
    again = sweep(little.task(), "sgd", points=3, seeds=1, epochs=1, out=tmp_path, progress=seen.append)
    assert [now.trial for now in seen] == [None] and again.trials == first.trials and str(again) == str(first)
    assert seen[0].done == seen[0].total == len(first.trials)
    more = sweep(little.task(), "sgd", points=3, seeds=2, epochs=1, out=tmp_path)
    assert more.trials[: len(first.trials)] == first.trials
    assert {len(candidate.trials) for candidate in more.candidates["sgd"]} == {2}
    with pytest.raises(StudyError, match=r"protocol\.points: 3 -> 4"):
        sweep(little.task(), "sgd", points=4, seeds=2, epochs=1, out=tmp_path)
    with pytest.raises(StudyError, match="it is by sweep; you ask for compare"):
        from thalweg.lab.verbs.compare import compare

        compare(little.task(), "sgd", out=tmp_path, epochs=1)


def test_the_folder(bowl: Sweep) -> None:
    spec = json.loads((bowl.folder / "spec.json").read_text())
    assert spec["verb"] == "sweep" and spec["protocol"]["points"] == 25 and spec["task"]["epochs"] == 4
    assert json.loads((bowl.folder / "result.json").read_text())["verdict"] == bowl.verdict
    assert (bowl.folder / "report.html").exists() and (bowl.folder / "table.csv").exists()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"lr": (1e-1, 1e-5)}, "lr: got .* the lower first"),
        ({"lr": "0,1"}, "lr: got '0,1'; must be two positive numbers"),
        ({"points": 1}, "points: got 1; must be a whole number of at least 2"),
        ({"seeds": 0}, "seeds: got 0"),
        ({"seeds": 1001}, "seeds: got 1001; must be at most 1000"),
        ({"epochs": 0.5}, "epochs: got 0.5"),
        ({"optimizers": "adamm"}, "adamm"),
        ({"optimizers": []}, "must name at least one"),
    ],
)
def test_wrong_arguments(wrong: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(LabError, match=message):
        sweep(little.task(), **{"optimizers": "sgd", "out": tmp_path / "s", **wrong})
    assert not (tmp_path / "s").exists()


def test_optimizers_take_turns(tmp_path: Path) -> None:
    """A budget left all its runs to the first."""
    found = sweep(little.task(), ["sgd", "adam"], points=3, closer=0, extend=False, seeds=1, epochs=1, on="alone",
                  out=tmp_path / "s")  # fmt: skip
    assert [trial.optimizer for trial in found.trials[:4]] == ["sgd", "adam", "sgd", "adam"]


def test_a_command_that_makes_its_optimizer_is_told_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no learning rate to sweep; `thalweg tune --hyperparameters lr="):
        sweep(command="echo {lr} {seed}", read="(.*)", direction="min", out=tmp_path / "s")
