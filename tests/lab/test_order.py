"""Learned orders: how one is learned, what ships, and what `tune` makes of it."""

from __future__ import annotations

import importlib
import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import little
import numpy as np
import pytest

from thalweg.catalogue import CATALOGUE
from thalweg.lab.errors import LabError, StudyError
from thalweg.lab.search import order
from thalweg.lab.search.hyperparameters import choose
from thalweg.lab.verbs.tune import tune

LISTED = sorted(order.orders()["rules"])


def test_each_next_point_lowers_the_best_so_far_the_most() -> None:
    """By hand: point 1 is the best alone, point 2 is good where it is bad, point 0 adds nothing to both."""
    own = {"one": [[0.4, 0.0, 1.0]], "two": [[0.5, 0.6, 0.0]]}
    assert order.greedy(own, 3) == [1, 2, 0]
    assert order.greedy(own, 2) == [1, 2]


def test_families_count_alike() -> None:
    """Three tasks of one family do not outweigh one of another."""
    own = {"many": [[0.0, 0.5]] * 3, "one": [[1.0, 0.0]]}
    assert order.greedy(own, 1) == [1]


def test_regrets_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="regrets: got one that is not finite"):
        order.greedy({"one": [[0.0, math.nan]]}, 2)


def test_the_best_of_more_is_no_worse() -> None:
    dice = np.random.default_rng(0)
    own = dice.random((6, 20))
    found = order.greedy({str(k): [row.tolist()] for k, row in enumerate(own)}, 20)
    assert sorted(found) == list(range(20))
    for k in (1, 2):  # a greedy first step is the best one; the first two are no worse than the best and any other
        best = min(np.minimum.reduce([own[:, j] for j in {found[0], other}]).mean() for other in range(20))
        assert own[:, found[:k]].min(1).mean() == pytest.approx(own[:, found[0]].mean() if k == 1 else best)


@pytest.mark.parametrize("name", LISTED)
def test_what_ships_fits_the_rule(name: str) -> None:
    """Every configuration is one that the optimizer takes, with all hyperparameters that `tune` asks for."""
    entry = CATALOGUE[name]
    chosen = choose(entry, little.task(), None)
    points = order.coordinates(entry, chosen)
    assert len(points) == order.AHEAD and [*points[0]] == [one.name for one in chosen]
    for values in order.known(entry):
        assert [*values] == [one.name for one in chosen]
        for one in chosen:
            assert one.value(one.searched(values[one.name])) == pytest.approx(values[one.name], rel=1e-6)


def test_what_ships_says_how_it_was_made() -> None:
    made = order.orders()["made"]
    assert made["command"].startswith("python benchmarks/order.py") and made["seeds"] and "torch" in made["machine"]


@pytest.mark.apart
def test_tuning_begins_with_the_list_and_goes_on(tmp_path: Path) -> None:
    name = LISTED[0]
    chosen = choose(CATALOGUE[name], little.task(), None)
    more = {"method": "learned", "trials": order.AHEAD + 3, "batch": 4, "finalist_seeds": 2, "epochs": 1}
    found = tune(little.task(), name, out=tmp_path, **more)
    tried = [found_.settings for found_ in sorted(found.trials, key=lambda t: t.index) if found_.phase == "search"]
    listed = [values["lr"] for values in order.known(CATALOGUE[name])][: order.AHEAD]
    assert [settings["lr"] for settings in tried[1 : 1 + order.AHEAD]] == listed
    assert len({settings["lr"] for settings in tried}) == order.AHEAD + 3 and found.spec["protocol"]["order"]
    assert any("by a learned order, then tpe, " in note for note in found.notes)
    only = tune(
        little.task(),
        name,
        method="learned",
        hyperparameters="lr",
        trials=3,
        finalist_seeds=2,
        out=tmp_path / "lr",
        epochs=1,
    )
    assert next(t.settings for t in only.trials if t.index == 1) == {"lr": listed[0]} and len(chosen) > 1


def test_what_lists_are_judged_against_is_drawn_anew_for_each_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """All tasks had one draw of what TPE asks for before it knows anything."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    benchmark = importlib.import_module("order")
    entry, asked = CATALOGUE[LISTED[0]], []
    monkeypatch.setattr(benchmark, "losses", lambda task, entry, chosen, points: asked.append(points) or [1.0] * 8)
    for name in ("one", "two", "one"):
        task = replace(little.task(), name=name)
        benchmark.searched(task, entry, choose(entry, task, None), (), 8)
    assert asked[0][0] == asked[1][0] and asked[0][1] != asked[1][1] and asked[0] == asked[2]


def begun(out: Path | None, name: str = LISTED[0], **more: Any) -> tuple[str, Path]:
    """The method of a study, and where it is."""
    asked = {"trials": 3, "finalist_seeds": 1, "finalists": 1, "epochs": 1, "on": "alone", **more}
    found = tune(little.task(), name, out=out, **asked)
    return found.spec["protocol"]["method"], found.folder


@pytest.mark.usefixtures("undrawn")
def test_a_list_is_the_default_where_it_was_judged(tmp_path: Path) -> None:
    whole = ",".join(order.known(CATALOGUE[LISTED[0]])[0])
    cases = {None: True, whole: True, "lr": False, whole.replace("lr", "lr=1e-4:1e-2"): False}
    entry = CATALOGUE[LISTED[0]]
    assert {wanted: order.fits(entry, choose(entry, little.task(), wanted)) for wanted in cases} == cases
    assert not order.fits(CATALOGUE["rprop"], choose(CATALOGUE["rprop"], little.task(), None))
    assert begun(tmp_path / "fresh")[0] == "learned" and begun(tmp_path / "other", "rprop")[0] == "tpe"
    assert begun(tmp_path / "from", from_study=tmp_path / "fresh")[0] == "tpe"  # points of its own lead it


@pytest.mark.usefixtures("undrawn")
def test_a_study_that_tpe_began_goes_on_by_the_same_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert begun(tmp_path / "old", method="tpe")[0] == begun(tmp_path / "old", trials=4)[0] == "tpe"
    with pytest.raises(StudyError, match='asked something else: protocol.method: "tpe" -> "learned"\\. Add'):
        begun(tmp_path / "old", method="learned")
    monkeypatch.chdir(tmp_path)
    assert begun(None, method="tpe")[1] == begun(None)[1]
    method, second = begun(None, method="learned")
    assert method == "learned" and second.name.endswith("-2")
    assert begun(None) == (method, second)  # where both are there, the list's


@pytest.mark.usefixtures("undrawn")
def test_a_study_keeps_the_list_that_it_began_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = begun(None, seeds=2)[1]
    assert (first := begun(None))[1] != before
    newer = json.loads(json.dumps(order.orders()))
    newer["rules"][LISTED[0]]["list"].reverse()
    monkeypatch.setattr(order, "orders", lambda: newer)
    assert begun(None) == first


def test_configurations_outside_the_ranges_are_left_out() -> None:
    entry = CATALOGUE[LISTED[0]]
    rates = sorted(values["lr"] for values in order.known(entry))
    half = order.coordinates(entry, choose(entry, little.task(), {"lr": (rates[0], rates[len(rates) // 2])}))
    assert 1 < len(half) <= order.AHEAD and {point["lr"] for point in half} <= {*rates[: len(rates) // 2 + 1]}
    with pytest.raises(LabError, match="method: the ranges hold no configuration of the learned order of"):
        order.coordinates(entry, choose(entry, little.task(), {"lr": (1e-9, 1e-8)}))


def test_a_rule_without_a_list_says_which_have_one(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=f"method: no order was learned for rprop; there is one for .*{LISTED[0]}"):
        tune(little.task(), "rprop", method="learned", out=tmp_path)
    own = re.escape("method: the learned order of " + LISTED[0] + " has no batch_size; it has lr")
    with pytest.raises(LabError, match=own):
        tune(little.task(), LISTED[0], method="learned", hyperparameters="lr,batch_size", out=tmp_path)
