"""A training function of one's own: compared, tuned, swept, resumed and replayed as a task is."""

from __future__ import annotations

import json
import math
import random

import numpy as np
import own_loops
import pytest
import torch
from torch import nn

import thalweg
from thalweg.lab.errors import LabError, TaskError
from thalweg.lab.own_loop.attempt import Attempt
from thalweg.lab.own_loop.pruning import Pruning
from thalweg.lab.own_loop.reports import Reports
from thalweg.lab.own_loop.trial import trial_of
from thalweg.lab.results import read
from thalweg.lab.results.all_failed import all_failed
from thalweg.lab.task.own_loop import OwnLoop, takes_a_run
from thalweg.lab.training.job import Job
from thalweg.lab.training.trial import Configuration, Status


def loop(function=own_loops.train, **more):
    return OwnLoop.of(function, **{"direction": "min", **more})


def job_of(folder, seed=0, lr=0.1, epochs=1, **more):
    entry = thalweg.lab.study.optimizers.resolve(["sgd"])[0]
    setting = Configuration("sgd", {"lr": lr}, seed)
    return Job("id", "search", 0, entry, setting, epochs, folder=str(folder), **more)


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own") / "study"
    TOLD.clear()
    found = thalweg.compare(loop(), ["sgd", "adam"], trials=5, finalist_seeds=3, out=folder, progress=told)
    found.told = list(TOLD)
    return found


TOLD = []


def told(now):
    TOLD.append(now.said or (now.trial.phase if now.trial else ""))


def test_a_comparison_ends_with_a_verdict_on_fresh_seeds(compared):
    assert all(trial.done for trial in compared.trials if trial.settings["lr"] < 0.1)
    finals = [trial for trial in compared.trials if trial.phase == "final"]
    assert len(finals) == 6 and all(trial.test_metric == trial.metric for trial in finals)
    assert finals[0].curve.steps == [10, 20, 30]
    assert "fresh seeds" in compared.verdict and "test loss" not in compared.verdict
    assert "epoch" not in compared.verdict
    assert compared.line.startswith("thalweg.optim.")
    assert (compared.folder / "report.html").stat().st_size > 10_000


def test_its_folder_can_be_read_replayed_and_exported(compared):
    assert read(compared.folder).verdict == compared.verdict
    trial = next(trial for trial in compared.trials if trial.done)
    again = thalweg.replay(compared.folder, trial.id, task=loop())
    assert again.apart == 0
    study = compared.to_optuna()
    assert len(study.trials) == len(compared.trials)


def test_the_same_call_trains_nothing_again(compared):
    own_loops.CALLS.clear()
    TOLD.clear()
    again = thalweg.compare(loop(), ["sgd", "adam"], trials=5, finalist_seeds=3, out=compared.folder, progress=told)
    assert own_loops.CALLS == [] and again.verdict == compared.verdict
    assert not any(TOLD)  # nothing is told before the verdict that is there


def test_the_best_of_the_search_is_told_before_the_fresh_seeds(compared):
    at = next(place for place, said in enumerate(compared.told) if said.startswith("so far the best"))
    assert set(compared.told[1:at]) == {"search"} and set(compared.told[at + 1 :]) == {"final"}
    searched = [trial for trial in compared.trials if trial.phase == "search" and trial.done]
    best = min(searched, key=lambda trial: trial.metric)
    assert compared.told[at] == (
        f"so far the best: {best.optimizer} at lr {best.settings['lr']:.3g}, {best.metric:.4g} loss, of 10 "
        "configurations; now 3 fresh seeds to decide"
    )


def test_seeds_are_set_for_python_numpy_and_torch(tmp_path):
    seen = []

    def draws(run):
        seen.append((run.seed, random.random(), float(np.random.rand()), float(torch.rand(()))))
        return 1.0

    for seed in (0, 1, 0):
        trial_of(loop(draws), job_of(tmp_path / "run", seed))
    assert seen[0] == seen[2] and all(a != b for a, b in zip(seen[0], seen[1], strict=True))


def test_what_was_broken_off_goes_on_to_the_bit(tmp_path):
    whole = trial_of(loop(), job_of(tmp_path / "whole"))

    def broken(run):
        report = run.report

        def once(step, value):
            report(step, value)
            if step == 20:
                raise KeyboardInterrupt  # as a kill would, it leaves nothing but the folder

        run.report = once
        return own_loops.train(run)

    with pytest.raises(KeyboardInterrupt):
        trial_of(loop(broken), job_of(tmp_path / "run"))
    own_loops.CALLS.clear()
    again = trial_of(loop(), job_of(tmp_path / "run"))
    assert own_loops.CALLS == [("sgd", 0, 20)]
    assert again.curve.steps == whole.curve.steps and again.metric == whole.metric
    assert not (tmp_path / "run" / "checkpoint.pt").exists()  # nobody goes on from it


def test_random_states_travel_with_the_checkpoint(tmp_path):
    run = thalweg.Run("sgd", folder=tmp_path)
    model = nn.Linear(2, 1)
    run.save(7, model=model)
    drawn = random.random(), float(np.random.rand()), float(torch.rand(()))
    other = nn.Linear(2, 1)
    assert thalweg.Run("sgd", folder=tmp_path).restore(model=other) == 7
    assert (random.random(), float(np.random.rand()), float(torch.rand(()))) == drawn
    assert torch.equal(model.weight, other.weight)


def test_a_checkpoint_of_other_objects_is_refused(tmp_path):
    run = thalweg.Run("sgd", folder=tmp_path)
    run.save(1, model=nn.Linear(2, 1))
    with pytest.raises(ValueError, match="restore: got net; the checkpoint has model"):
        run.restore(net=nn.Linear(2, 1))
    with pytest.raises(TypeError, match="step_count: got int"):
        run.save(1, step_count=3)
    assert run.restore(model=nn.Linear(2, 1)) == 1  # the refused save left it whole


def test_reports_after_a_checkpoint_are_replaced(tmp_path):
    reports = Reports(tmp_path / "reports.jsonl")
    for step, value in ((10, 1.0), (20, 0.5), (30, 0.4), (20, 0.6), (30, math.nan)):
        reports.add(step, value)
    with open(tmp_path / "reports.jsonl", "a") as file:
        file.write('{"step": 40, "val')  # a kill
    again = Reports(tmp_path / "reports.jsonl")
    assert again.steps == reports.steps == [10, 20, 30] and again.values[:2] == [1.0, 0.6]


@pytest.mark.parametrize(
    ("value", "status"),
    [(0.5, Status.DONE), (None, Status.CRASHED), (math.nan, Status.NOT_A_NUMBER), (math.inf, Status.DIVERGED),
     (torch.tensor(2.0), Status.DONE), ({"loss": 1.0}, Status.CRASHED), (True, Status.CRASHED)],
)  # fmt: skip
def test_how_a_run_ends(tmp_path, value, status):
    trial = trial_of(loop(lambda run: value), job_of(tmp_path))
    assert trial.status is status, trial.message


@pytest.mark.parametrize(
    ("error", "status"),
    [(MemoryError(), Status.OUT_OF_MEMORY), (OSError(28, "x"), Status.INTERRUPTED), (KeyError("x"), Status.CRASHED),
     (SystemExit(1), Status.CRASHED)],
)  # fmt: skip
def test_how_a_run_fails(tmp_path, error, status):
    def fails(run):
        run.report(1, 0.5)
        raise error

    trial = trial_of(loop(fails), job_of(tmp_path))
    assert trial.status is status and trial.curve.steps == [1]


def test_a_functions_traceback_is_in_its_runs_log(tmp_path):
    """It was nowhere."""

    def fails(run):
        raise ValueError("no such column")

    found = thalweg.tune(loop(fails), "sgd", hyperparameters="lr", trials=2, finalist_seeds=1, method="sobol",
                         out=tmp_path / "study")  # fmt: skip
    for trial in found.trials:
        first, _, where = trial.message.partition("\ntraceback: ")
        assert first == "ValueError: no such column" and where.startswith("runs/")
        text = (tmp_path / "study" / where).read_text()
        assert text.startswith("Traceback") and "in fails" in text and "ValueError: no such column" in text
    assert all_failed(found)[0] == f"{len(found.trials)} x ValueError: no such column"
    assert "log.txt" in all_failed(found)[1]


def test_two_broken_reports_end_a_run(tmp_path):
    def diverges(run):
        for step in range(1, 100):
            run.report(step, math.inf if step > 3 else 1.0)

    trial = trial_of(loop(diverges), job_of(tmp_path))
    assert trial.status is Status.DIVERGED and trial.steps == 5


def test_groups_keep_their_shares():
    a, b = nn.Linear(2, 1), nn.Linear(2, 1)
    run = thalweg.Run("sgd", {"lr": 0.5})
    optimizer = run.optimizer([{"params": a.parameters(), "lr": 1e-3}, {"params": b.parameters(), "lr": 1e-4}])
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.5, 0.05])


def test_a_run_made_by_hand_needs_no_study():
    run = thalweg.Run("adam", {"lr": 0.1, "noise": 0.5}, seed=3)
    assert float(own_loops.train(run).detach()) > 0
    assert run.reports.steps == [10, 20, 30] and run.asked == {"noise": 0.0}
    with pytest.raises(ValueError, match="step: got -1"):
        run.report(-1, 0.0)
    with pytest.raises(TaskError, match="must return one number"):
        run.report(40, [1, 2])
    with pytest.raises(LabError, match="nosuch"):
        thalweg.Run("nosuch")


def test_what_takes_a_run():
    assert takes_a_run(lambda run: 1) and takes_a_run(lambda run, width=3: 1)
    assert not any(map(takes_a_run, [lambda: 1, lambda a, b: 1, nn.Linear, 3, lambda *, run: 1]))


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"direction": None}, "direction: got None"), ({"direction": "up"}, "direction: got 'up'"),
     ({"metric": ""}, "metric: got ''"), ({"margin": -1}, "margin: got -1"), ({"length": 0}, "steps: got 0")],
)  # fmt: skip
def test_what_is_refused(changes, said):
    with pytest.raises(TaskError, match=said):
        loop(**changes)


def test_of_all_optimizers_some_must_be_named(tmp_path):
    with pytest.raises(LabError, match="optimizers: got none"):
        thalweg.compare(loop(), out=tmp_path)


def test_no_range_test_no_lanes_no_recording(tmp_path):
    with pytest.raises(LabError, match="range test"):
        thalweg.range_test(loop(), "sgd", out=tmp_path / "a")
    with pytest.raises(LabError, match="lanes need a thalweg.Task"):
        thalweg.sweep(loop(), "sgd", on="lanes", out=tmp_path / "b")
    with pytest.raises(LabError, match="record"):
        thalweg.sweep(loop(), "sgd", record=True, out=tmp_path / "c")


def test_tuning_with_what_only_the_loop_knows(tmp_path):
    def quality(run):
        kind = run.get("kind", "none")
        return (
            (math.log10(run.get("lr", 1.0)) + 2) ** 2 + abs(run.get("drop", 0.1) - 0.4) + (kind != "b") + run.seed / 1e9
        )

    TOLD.clear()
    found = thalweg.tune(
        loop(quality), "sgd", hyperparameters="lr=1e-4:1,drop=0:0.5,kind=a|b|c,depth=1:4", trials=16, method="sobol",
        out=tmp_path / "study", progress=told,
    )  # fmt: skip
    [so_far] = [said for said in TOLD if said.startswith("so far the best: sgd at lr ")]
    assert "kind b" in so_far and so_far.endswith("of 16 configurations; now 5 fresh seeds to decide")
    default = next(trial for trial in found.trials if trial.index == 0)
    assert "drop" not in default.settings and "kind" not in default.settings  # the loop's own defaults
    tried = [trial.settings for trial in found.trials if trial.index]
    assert {settings["kind"] for settings in tried} == {"a", "b", "c"}
    assert all(0 <= settings["drop"] <= 0.5 and settings["depth"] in (1, 2, 3, 4) for settings in tried)
    assert found.tuned.settings["kind"] == "b"
    assert "# with" in found.line and "kind=b" in found.line and "drop" not in found.line.partition("#")[0]
    assert "kind a | b | c" in " ".join(found.notes)
    assert (tmp_path / "study" / "report.html").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [("drop", "has no usual range"), ("drop=1:0", "the lower first"), ("kind=a|a", "different options"),
     ("seed=1:2", "'seed'"), ("drop=x:y", "must be a range")],
)  # fmt: skip
def test_declarations_that_are_refused(tmp_path, text, said):
    with pytest.raises(LabError, match=said):
        thalweg.tune(loop(), "sgd", hyperparameters=text, out=tmp_path)


def test_the_median_gives_up_early(tmp_path):
    def slow(run):
        bad = run.get("lr", 0.1) > 0.05
        for step in range(1, 11):
            run.report(step, 10.0 - step + 100 * bad)

    found = thalweg.tune(
        loop(slow), "sgd", hyperparameters="lr=1e-3:1", trials=24, batch=8, method="sobol", pruner="median",
        finalist_seeds=2, out=tmp_path / "study",
    )  # fmt: skip
    pruned = [trial for trial in found.trials if trial.phase == "pruned"]
    assert pruned and all(trial.settings["lr"] > 0.05 and trial.done and trial.steps < 10 for trial in pruned)
    assert not any("failed" in note for note in found.notes if "pruned" in note)
    assert any("Given up by median" in note for note in found.notes)
    again = thalweg.replay(found.folder, pruned[0].id, task=loop(slow))
    assert again.apart == 0 and again.again.steps == pruned[0].steps


def test_pruning_is_nothing_without_others():
    alone = Pruning("median", (), False)
    assert not alone.over([1], [5.0])
    others = tuple(tuple((step, 1.0 / step) for step in range(1, 5)) for _ in range(5))
    assert Pruning("median", others, False).over([1, 2], [5.0, 5.0])
    assert not Pruning("median", others, True).over([1, 2], [5.0, 5.0])


def test_asha_goes_on_from_the_checkpoints(tmp_path):
    own_loops.CALLS.clear()
    found = thalweg.tune(
        loop(length=30), "sgd", hyperparameters="lr=1e-3:0.3", trials=9, batch=9, method="sobol", pruner="asha",
        finalists=1, finalist_seeds=2, out=tmp_path / "study",
    )  # fmt: skip
    rungs = [trial for trial in found.trials if trial.phase == "rung 10"]
    assert rungs and all(trial.curve.steps == [10] for trial in rungs)
    searched = [trial for trial in found.trials if trial.phase == "search"]
    assert all(trial.curve.steps == [10, 20, 30] for trial in searched)
    went_on = [start for _, _, start in own_loops.CALLS if start]
    assert went_on and set(went_on) == {10}  # not one began anew
    plain = trial_of(loop(), job_of(tmp_path / "plain", lr=searched[-1].settings["lr"]))
    assert plain.metric == searched[-1].metric  # and it is the run it would have been


def test_a_runs_folder_says_what_it_is(tmp_path):
    Attempt(loop(), job_of(tmp_path / "run", seed=4))
    content = json.loads((tmp_path / "run" / "run.json").read_text())
    assert content == {"optimizer": "sgd", "settings": {"lr": 0.1}, "seed": 4, "metric": "loss"}


def test_what_is_to_be_tried_first_is(tmp_path):
    found = thalweg.tune(
        loop(lambda run: run.get("lr", 0.1) + run.get("drop", 0.0)), "sgd", hyperparameters="lr=1e-3:1,drop=0:0.5",
        try_first="lr=0.25,drop=0.125; lr=0.5", trials=5, batch=2, method="sobol", finalist_seeds=2, out=tmp_path,
    )  # fmt: skip
    tried = {trial.index: trial.settings for trial in found.trials if trial.phase == "search"}
    assert tried[1] == {"lr": 0.25, "drop": 0.125} and tried[2]["lr"] == 0.5 and len(tried) == 5
    for wrong in ("drop=0.7", "depth=1", "lr=x"):
        with pytest.raises(LabError, match="try: "):
            thalweg.tune(loop(), "sgd", hyperparameters="lr=1e-3:1,drop=0:0.5", try_first=wrong, out=tmp_path / "x")
