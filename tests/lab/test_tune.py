"""Tuning: every method, the default first, the same asks again, known points, rungs, and a verdict on fresh seeds."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import little
import optuna
import pytest
import quadratic
import torch

from thalweg.lab.errors import LabError, StudyError
from thalweg.lab.random.seeds import FRESH
from thalweg.lab.results import Tuning
from thalweg.lab.search import samplers
from thalweg.lab.search.hyperparameters import choose, search_ranges
from thalweg.lab.search.pruning import Rungs
from thalweg.lab.study.campaign import Progress
from thalweg.lab.verbs.replay import replay, report
from thalweg.lab.verbs.tune import tune

METHODS = [*samplers.SPREAD, *samplers.OPTUNA]


def search(found: Tuning) -> list[dict[str, Any]]:
    return [trial.settings for trial in found.trials if trial.phase == "search"]


@pytest.fixture(scope="module")
def bowl(tmp_path_factory: pytest.TempPathFactory) -> Tuning:
    return tune(quadratic.task(), "sgd", hyperparameters="lr", trials=32, out=tmp_path_factory.mktemp("bowl"))


def test_it_finds_what_theory_knows_and_says_so(bowl: Tuning) -> None:
    rate = bowl.tuned.settings["lr"]
    assert abs(math.log(rate / quadratic.BEST)) < 0.35 and rate < quadratic.LARGEST
    assert bowl.judgement is not None and bowl.judgement.verdict == "better"
    assert f"tuned to lr {rate:.6g}, beats the default by" in bowl.verdict and f"lr={rate}" in bowl.line
    assert bowl.history[-1][1] == min(candidate.metric for candidate in bowl.rows if not candidate.failed)


def test_the_default_is_first_and_only_fresh_seeds_decide(bowl: Tuning) -> None:
    assert next(trial.settings for trial in bowl.trials if trial.index == 0) == {"lr": 1e-3}
    finals = [trial for trial in bowl.trials if trial.phase == "final"]
    assert {t.seed for t in finals} == set(range(FRESH, FRESH + 5)) and len({t.index for t in finals}) == 3
    assert all((t.test_metric is not None) == (t.phase == "final") for t in bowl.trials if t.done)


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("method", METHODS)
def test_every_method_twice_the_same(method: str, tmp_path: Path) -> None:
    asked = {
        "method": method,
        "hyperparameters": "lr,betas",
        "trials": 13,
        "batch": 6,
        "epochs": 1,
        "finalist_seeds": 2,
    }
    one, two = (tune(little.task(), "adam", out=tmp_path / name, **asked) for name in "ab")
    assert search(one) == search(two) and len(search(one)) == 13
    for settings in search(one)[1:]:
        assert 1e-4 <= settings["lr"] <= 1e-1 and 0.5 <= settings["betas"][0] <= 0.98
    assert len({settings["lr"] for settings in search(one)}) > 2


@pytest.mark.usefixtures("undrawn")
def test_a_stopped_study_asks_the_same_again(tmp_path: Path) -> None:
    asked: dict[str, Any] = {"trials": 24, "batch": 4, "epochs": 1, "finalist_seeds": 2}
    whole = tune(little.task(), "adam", out=tmp_path / "whole", **asked)

    def stop(now: Progress) -> None:
        if now.done == 18:  # in the middle of a batch, past the sampler's random beginning
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(little.task(), "adam", out=tmp_path / "stopped", progress=stop, **asked)
    seen: list[Progress] = []
    again = tune(little.task(), "adam", out=tmp_path / "stopped", progress=seen.append, **asked)
    assert seen[0].found == 18 and seen[-1].done == seen[-1].total == len(whole.trials)
    assert [t.id for t in again.trials] == [t.id for t in whole.trials] and str(again) == str(whole)


@pytest.mark.usefixtures("undrawn")
def test_more_trials_begin_with_the_same(tmp_path: Path) -> None:
    few = tune(little.task(), "adam", trials=10, epochs=1, finalist_seeds=2, out=tmp_path)
    before = search(few)
    more = tune(little.task(), "adam", trials=20, epochs=1, finalist_seeds=2, out=tmp_path)
    assert search(more)[:10] == before and len(search(more)) == 20
    before_growth = search(more)
    assert len(more.finals) == 3 and more.default.index == 0
    grown = tune(little.task(), "adam", trials=30, epochs=1, finalist_seeds=4, out=tmp_path)
    assert str(report(tmp_path)) == str(grown)
    straight = tune(little.task(), "adam", trials=20, epochs=1, finalist_seeds=2, out=tmp_path / "straight")
    assert search(straight) == before_growth and straight.verdict == more.verdict


def test_a_grid_covers_its_ranges_and_does_not_grow(tmp_path: Path) -> None:
    asked: dict[str, Any] = {"method": "grid", "hyperparameters": {"lr": (1e-3, 1e-1), "betas": None}, "epochs": 1}
    found = tune(little.task(), "adam", trials=13, finalist_seeds=1, out=tmp_path, **asked)
    rates = sorted({settings["lr"] for settings in search(found)[1:]})
    assert rates == [1e-3, 1e-2, 1e-1] and len(search(found)) == 13  # 3 x 2 x 2 and the default
    with pytest.raises(StudyError, match="is a grid of 13 trials, not 14"):
        tune(little.task(), "adam", trials=14, finalist_seeds=1, out=tmp_path, **asked)


def test_a_setting_that_fails_is_told_as_the_worst(tmp_path: Path) -> None:
    found = tune(quadratic.task(), "sgd", hyperparameters={"lr": (1e-2, 1e2)}, trials=24, batch=2, out=tmp_path)
    failed = [candidate for candidate in found.candidates["sgd"] if candidate.failed]
    late = [candidate for candidate in found.candidates["sgd"][12:] if candidate.failed]
    assert len(failed) > 3 and len(late) / 12 < 0.5  # the range fails for 63 % of its length
    assert found.rows[-1].failed and not found.tuned.failed


@pytest.mark.apart
def test_known_points_lead_the_sampler_but_are_no_evidence(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'x.db'}"
    theirs = optuna.create_study(storage=storage, study_name="before", direction="minimize")
    for exponent in range(-30, 0):
        rate = 10 ** (exponent / 10)
        params = {"lr": rate}
        space = {"lr": optuna.distributions.FloatDistribution(1e-4, 1.0, log=True)}
        value = 2 * abs(math.log10(rate / quadratic.BEST)) - 4  # on the scale of the task's own metric
        theirs.add_trial(optuna.trial.create_trial(params=params, distributions=space, value=value))
    asked: dict[str, Any] = {"hyperparameters": {"lr": (1e-4, 1.0)}, "trials": 9, "batch": 2, "finalist_seeds": 2}
    blind = tune(quadratic.task(), "sgd", out=tmp_path / "blind", **asked)
    led = tune(quadratic.task(), "sgd", from_optuna=f"{storage}:before", out=tmp_path / "led", **asked)

    def far(found: Tuning) -> float:
        return sum(abs(math.log10(s["lr"] / quadratic.BEST)) for s in search(found)[1:]) / 8

    assert far(led) < 0.5 * far(blind)
    assert len(led.candidates["sgd"]) == 9 and "30 trials of" in " ".join(led.notes)
    theirs.add_trial(optuna.trial.create_trial(params={"lr": 0.5}, distributions=space, value=0.0))
    tune(quadratic.task(), "sgd", from_optuna=f"{storage}:before", out=tmp_path / "led", **asked)  # resumes
    for where, message in (
        ("x.db", "must be a storage and a study"),
        (f"{storage}:after", "from_optuna: .*after"),
    ):
        with pytest.raises(LabError, match=message):
            tune(quadratic.task(), "sgd", from_optuna=where, out=tmp_path / "wrong", **asked)
    with pytest.raises(LabError, match="has the parameters lr; must have one of momentum"):
        hyperparameters = {**asked, "hyperparameters": "momentum"}
        tune(quadratic.task(), "momentum", from_optuna=f"{storage}:before", out=tmp_path / "wrong", **hyperparameters)
    with pytest.raises(LabError, match="is to minimize; must be to maximize"):
        tune(little.task(), "sgd", from_optuna=f"{storage}:before", out=tmp_path / "wrong", **asked)
    with pytest.raises(LabError, match="method 'sobol' learns from no points"):
        tune(quadratic.task(), "sgd", from_optuna=f"{storage}:before", method="sobol", out=tmp_path / "w", **asked)


def test_an_earlier_study_leads_and_its_best_is_tried_first(bowl: Tuning, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"hyperparameters": {"lr": (1e-4, 1.0)}, "trials": 3, "finalist_seeds": 2, "on": "alone"}
    led = tune(quadratic.task(), "sgd", from_study=bowl.folder, out=tmp_path / "led", **asked)
    best = next(row for row in bowl.rows if 1e-4 <= row.rate <= 1.0)
    assert search(led)[1]["lr"] == pytest.approx(best.rate)
    assert any(f"of {bowl.folder} told the sampler" in note for note in led.notes)
    assert tune(quadratic.task(), "sgd", from_study=bowl.folder, out=tmp_path / "led", **asked).trials == led.trials
    for optimizer, task, message in (
        ("adam", quadratic.task(), "from: .* has no search of adam; it has sgd"),
        ("sgd", little.task(), "from: in .* smaller values are better; must be larger"),
    ):
        with pytest.raises(LabError, match=message):
            tune(task, optimizer, from_study=bowl.folder, out=tmp_path / "wrong", trials=3)


def test_quality_against_time_pays_for_every_run(bowl: Tuning) -> None:
    seconds = [spent for spent, _, _ in bowl.spent]
    assert seconds == sorted(seconds)
    assert seconds[-1] == pytest.approx(sum(trial.seconds for trial in bowl.trials if trial.phase != "final"))
    assert bowl.spent[-1][2] == bowl.history[-1][1]


@pytest.mark.apart
def test_to_optuna_and_back(bowl: Tuning, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'x.db'}"
    study = bowl.to_optuna(storage, "mine")
    bowl.to_optuna(storage, "mine")  # again adds nothing
    study = optuna.load_study(study_name="mine", storage=storage)
    assert len(study.trials) == len(bowl.trials) and study.direction.name == "MINIMIZE"
    for theirs, mine in zip(study.trials, bowl.trials, strict=True):
        assert theirs.params == mine.settings and theirs.user_attrs["seed"] == mine.seed
        assert theirs.user_attrs["id"] == mine.id and theirs.user_attrs["test_metric"] == mine.test_metric
        assert theirs.state.name == ("COMPLETE" if mine.done else "FAIL")
        if mine.done:
            assert theirs.value == mine.metric
            assert list(theirs.intermediate_values.values()) == mine.curve.validation_metric
    found = tune(
        quadratic.task(),
        "sgd",
        hyperparameters="lr",
        trials=4,
        from_optuna=f"{storage}:mine",
        out=tmp_path,
        finalist_seeds=2,
    )
    assert len(found.spec["protocol"]["known"]) == sum(trial.done for trial in bowl.trials)


@pytest.mark.parametrize("pruner", ["asha", "hyperband"])
def test_rungs_are_shorter_trainings_and_the_report_says_what_was_pruned(pruner: str, tmp_path: Path) -> None:
    seen: list[Progress] = []
    found = tune(
        little.task(), "adam", trials=18, batch=9, epochs=9, pruner=pruner, finalist_seeds=1, out=tmp_path,
        progress=seen.append,
    )  # fmt: skip
    lengths = {phase: {len(t.curve.steps) for t in found.trials if t.phase == phase} for phase in ("rung 1", "rung 3")}
    assert lengths == {"rung 1": {1}, "rung 3": {3}}
    full = [t for t in found.trials if t.phase == "search"]
    assert all(len(t.curve.steps) == 9 for t in full) and 0 in {t.index for t in full} and len(full) <= 6
    first = [t for t in found.trials if t.phase == "rung 1" and t.index < 9]
    on = {t.index for t in found.trials if t.phase == "rung 3" and t.index < 9}
    worst_on = min(t.metric for t in first if t.index in on - {0})
    assert all(t.metric <= worst_on for t in first if t.index not in on)
    assert f"Pruned by {pruner}: " in " ".join(found.notes)
    assert seen[0].total == seen[-1].done == len(found.trials)


@pytest.mark.parametrize("on", ["alone", "lanes"])
def test_the_rungs_of_a_task_in_steps_have_fewer_steps(on: str, tmp_path: Path) -> None:
    task = little.task(steps=37)
    found = tune(task, "adam", trials=9, batch=9, epochs=9, pruner="asha", finalist_seeds=1, on=on, out=tmp_path)
    lengths = {(trial.phase, trial.steps) for trial in found.trials if trial.done}
    assert lengths == {("rung 1", 4), ("rung 3", 12), ("search", 37), ("final", 37)}
    assert "9 runs of 4 steps, 3 runs of 12 steps" in " ".join(found.notes)
    assert "more than 37 steps" in " ".join(found.notes)
    rung = next(trial for trial in found.trials if trial.phase == "rung 3")
    assert replay(tmp_path, rung.id, task=task).apart <= 1e-5


def test_rungs() -> None:
    assert Rungs.of("asha", 20).epochs == (2, 7, 20) and Rungs.of(None, 20).epochs == (20,)
    assert [Rungs.of("hyperband", 9).ladder(i) for i in range(4)] == [(1, 3, 9), (3, 9), (9,), (1, 3, 9)]
    for pruner, epochs, message in (("median", 9, "pruner: got 'median'"), ("asha", 2, "at least 3 epochs, got 2")):
        with pytest.raises(LabError, match=message):
            Rungs.of(pruner, epochs)


def test_batch_size_and_decay_are_knobs(tmp_path: Path) -> None:
    found = tune(
        little.task(),
        "adamw",
        hyperparameters="lr,weight_decay,batch_size",
        trials=9,
        epochs=1,
        finalist_seeds=1,
        out=tmp_path,
    )
    sizes = {trial.batch_size for trial in found.trials}
    assert sizes <= {None, 8, 16, 64, 128} and len(sizes) > 2  # 32 is the task's own
    by_size = {t.batch_size or 32: t.steps for t in found.trials if t.done}
    assert all(steps == 128 // size for size, steps in by_size.items())
    assert all(5e-3 <= settings["weight_decay"] <= 1 for settings in search(found))
    assert "equal epochs" in " ".join(found.notes)


def test_every_rule_has_knobs_around_its_defaults() -> None:
    from thalweg.catalogue import CATALOGUE, Entry

    for entry in [*CATALOGUE.values(), Entry.of(torch.optim.Adam), Entry.of("torch.optim.SGD(momentum=0.9)")]:
        known = search_ranges(entry, little.task())
        assert next(iter(known)) == "lr" and {"weight_decay", "batch_size"} <= set(known)
        for hyperparameter in known.values():
            assert 0 < hyperparameter.low < hyperparameter.high
            middle = hyperparameter.value(hyperparameter.at(0.5))
            assert hyperparameter.low * 0.9 <= hyperparameter.searched(middle) <= hyperparameter.high * 1.1
            if hyperparameter.default:
                assert hyperparameter.value(hyperparameter.searched(hyperparameter.default)) == pytest.approx(
                    hyperparameter.default
                )
    assert list(search_ranges(CATALOGUE["adan"], little.task()))[:4] == ["lr", "beta1", "beta2", "beta3"]
    assert "momentum" in search_ranges(CATALOGUE["momentum"], little.task())
    assert "momentum" not in search_ranges(CATALOGUE["sgd"], little.task())


def test_ranges_of_the_user() -> None:
    from thalweg.catalogue import CATALOGUE

    lr, beta1, beta2 = choose(CATALOGUE["adam"], little.task(), "lr=1e-3:1e-2,betas=0.8:0.99")
    assert (lr.low, lr.high) == (1e-3, 1e-2) and beta1.complement
    assert (beta1.low, beta1.high) == pytest.approx((0.01, 0.2)) and beta2.index == 1
    (found,) = choose(CATALOGUE["prodigy"], little.task(), {"d_coef": (0.1, 10)})
    assert (found.low, found.high, found.setting) == (0.1, 10, "d_coef")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"hyperparameters": "lr,betta"},
            "adam has no hyperparameter 'betta'; did you mean 'beta.'[?] It has lr, beta1, beta2, eps, weight_decay, "
            "batch_size",
        ),
        ({"hyperparameters": []}, "hyperparameters: got none"),
        ({"hyperparameters": "lr=1:0.1"}, "hyperparameters: lr got the range .* the lower first"),
        ({"hyperparameters": "betas=0.5:1.5"}, "hyperparameters: beta1 got the range .* below 1"),
        ({"method": "bohb"}, "method: got 'bohb'; must be learned, grid, random"),
        ({"trials": 0}, "trials: got 0"),
        ({"batch": 0}, "batch: got 0"),
        ({"optimizer": ["sgd", "adam"]}, "optimizer: got 2 \\(sgd, adam\\); must be one"),
        ({"pruner": "median"}, "pruner: got 'median'; must be asha or hyperband"),
        ({"seeds": 2000}, "seeds: got 2000"),
    ],
)
def test_wrong_arguments(wrong: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(LabError, match=message):
        tune(little.task(), **{"optimizer": "adam", "out": tmp_path / "s", **wrong})
    assert not (tmp_path / "s").exists()


def test_a_sampler_object_of_optunas(tmp_path: Path) -> None:
    sampler = optuna.samplers.RandomSampler(seed=3)
    found = tune(little.task(), "sgd", method=sampler, trials=4, epochs=1, finalist_seeds=1, out=tmp_path)
    assert found.spec["protocol"]["method"] == "RandomSampler" and len(search(found)) == 4


class Broken(torch.optim.SGD):
    def step(self, closure: Any = None) -> Any:
        raise RuntimeError("no such kernel")


def test_all_failed_is_said(tmp_path: Path) -> None:
    found = tune(little.task(), Broken, trials=3, epochs=1, finalist_seeds=2, out=tmp_path)
    assert found.verdict.startswith("No answer for") and found.line == ""
    assert "no such kernel" in " ".join(found.notes)


def test_what_is_asked_for_twice_is_one_setting(tmp_path: Path) -> None:
    seen: list[Progress] = []
    found = tune(
        little.task(), "sgd", hyperparameters={"lr": (0.001, 0.00103)}, trials=16, epochs=1, finalist_seeds=1,
        out=tmp_path, progress=seen.append,
    )  # fmt: skip
    assert len(found.candidates["sgd"]) == len({t.settings["lr"] for t in found.trials}) <= 4
    assert found.default.settings == {"lr": 0.001} and seen[-1].done == seen[-1].total == len(found.trials)


def test_nothing_but_the_default(tmp_path: Path) -> None:
    found = tune(little.task(), "sgd", trials=1, epochs=1, finalist_seeds=2, out=tmp_path)
    assert "nothing but the default was tried" in found.verdict and found.line
