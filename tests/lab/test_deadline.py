"""A budget is a deadline: the study ends by it, with the answer that what has ended allows."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace

import asking
import little
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

import thalweg
from thalweg.lab.cost.price import Estimate, reading
from thalweg.lab.errors import LabError
from thalweg.lab.results import read
from thalweg.lab.study.deadline import Deadline, OutOfTime
from thalweg.lab.study.optimizers import resolve
from thalweg.lab.study.records import read_versions
from thalweg.lab.study.session import keep_wanted, tried
from thalweg.lab.study.store import Study
from thalweg.lab.task.own_loop import OwnLoop
from thalweg.lab.training.loop import run_trial
from thalweg.lab.training.time_limit import TimedOut, time_limit
from thalweg.lab.verbs.sweep import spread_out


class Clocks:
    """The process's clocks, with time that passes at once in place of a sleep."""

    skipped = 0.0

    @classmethod
    def skip(cls, seconds):
        cls.skipped += seconds


@pytest.fixture
def clocks(monkeypatch):
    monotonic, perf_counter = time.monotonic, time.perf_counter
    monkeypatch.setattr(Clocks, "skipped", 0.0)
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + Clocks.skipped)
    monkeypatch.setattr(time, "perf_counter", lambda: perf_counter() + Clocks.skipped)


class Slow(Dataset):
    """Rows that take a while to read, as images on a disk do."""

    def __init__(self, rows, seconds):
        self.rows, self.seconds = rows, seconds

    def __len__(self):
        return self.rows

    def __getitem__(self, place):
        Clocks.skip(self.seconds)
        return torch.randn(4, generator=torch.Generator().manual_seed(place)), torch.zeros(1)


def slow_task(rows=200, seconds=1.0, epochs=2):
    return thalweg.Task(
        model=lambda: nn.Linear(4, 1), loss=nn.MSELoss(), train=Slow(rows, seconds), batch_size=20, epochs=epochs,
        name="slow",
    )  # fmt: skip


def sleeping(run):
    Clocks.skip(100)
    return (run.settings["lr"] - 0.01) ** 2 + float(torch.rand(()))


def test_the_price_holds_reading_the_data(clocks):
    """Reading is all that such a run does. A price without it was 13 times too low."""
    task, entries = slow_task(), resolve(["sgd"])
    promised = Estimate(task, entries, 2).seconds({"sgd": 0.05})["sgd"]
    job = thalweg.lab.training.job.Job(
        "x", "search", 0, entries[0], thalweg.lab.training.trial.Configuration("sgd", {"lr": 0.01}, 0), 2
    )
    took = run_trial(task, job).seconds
    assert took / 1.5 < promised < 1.5 * took
    batch, first = reading(task)
    assert batch >= 20 and first < batch


def test_a_budget_that_fits_nothing_is_kept_and_answers(clocks, tmp_path):
    """The whole would take hours; no least number of configurations fits, and none is insisted on."""
    began = time.monotonic()
    found = thalweg.sweep(slow_task(100, 1.0, 4), "adam", budget=1200, on="alone", out=tmp_path / "study")
    assert time.monotonic() - began < 1.15 * 1200
    assert found.cut and "runs made" in found.cut[0]
    assert any("The budget ended the study" in note for note in found.notes)
    assert read(tmp_path / "study").verdict == found.verdict


@pytest.mark.apart
def test_a_comparison_that_is_cut_still_decides_on_fresh_seeds(clocks, tmp_path):
    def compared():
        task = OwnLoop.of(sleeping, direction="min")
        return thalweg.compare(
            task, ["sgd", "adam", "adamw"], "standard", budget=3000, on="alone", out=tmp_path / "study"
        )

    began = time.monotonic()
    found = compared()
    assert time.monotonic() - began < 1.15 * 3000
    finals = [trial for trial in found.trials if trial.phase == "final"]
    assert {trial.optimizer for trial in finals} == {"sgd", "adam", "adamw"}
    assert len(found.trials) < 3 * (25 + 2 * 10)
    assert "not tested" in found.verdict and "of 25 configurations" in found.verdict
    more = compared()
    assert len(more.trials) > len(found.trials)  # the same command goes on


def test_a_tuning_that_is_cut_counts_what_ran_and_says_it_in_its_verdict(clocks, tmp_path):
    """It counted the whole batch that was asked for, and said so in its notes alone."""
    found = thalweg.tune(OwnLoop.of(sleeping, direction="min"), "sgd", hyperparameters="lr", finalists=1,
                         finalist_seeds=1, budget=900, on="alone", out=tmp_path / "study")  # fmt: skip
    ran = len({trial.index for trial in found.trials if trial.phase == "search"})
    assert 1 < ran < 8
    assert f"not tested: {ran} of 40 configurations were tried" in found.verdict
    assert f", {ran} configurations in batches of 8" in " ".join(found.notes)


def test_a_sweep_says_in_its_verdict_what_its_budget_left_out(clocks, tmp_path):
    found = thalweg.sweep(OwnLoop.of(sleeping, direction="min"), "sgd", budget=900, on="alone", out=tmp_path / "study")
    assert f"not tested: {found.cut[0]}" in found.verdict


def test_a_budget_for_no_answer_says_so(tmp_path):
    def long(run):
        time.sleep(30)

    with pytest.raises(LabError, match="budget: 1 s was not enough for an answer"):
        thalweg.tune(OwnLoop.of(long, direction="min"), "sgd", budget=1, out=tmp_path / "study")


@pytest.mark.parametrize(("verb", "plan"), [("compare", "trials"), ("sweep", "points"), ("tune", "trials")])
def test_a_larger_budget_goes_on_in_the_same_folder(verb, plan, tmp_path):
    """It was refused there: the folder held a study of another budget."""
    optimizer = "sgd" if verb == "tune" else ["sgd"]
    asked = {"out": tmp_path / "study", "on": "alone", "epochs": 1}
    with pytest.raises(LabError, match="a larger budget goes on there") as refused:
        getattr(thalweg, verb)(little.task(), optimizer, budget=0.01, **asked)
    purpose, changed = refused.value.then
    assert purpose == "to go on" and changed["--out"] == str(tmp_path / "study")
    planned = json.loads((tmp_path / "study" / "spec.json").read_text())["protocol"][plan]
    found = getattr(thalweg, verb)(little.task(), optimizer, budget=600, **asked)
    assert found.verdict and found.spec["protocol"][plan] >= planned and not found.cut


def test_a_cut_plan_names_what_was_planned_before(tmp_path):
    """ "2 of 3 configurations" hid the 25 that were asked for."""
    with Study(tmp_path / "study", asking.SPEC, {}) as study:
        campaign = SimpleNamespace(study=study)
        keep_wanted(campaign, 3, 3)
        assert tried(campaign, 2, 3) == "2 of 3 configurations were tried"
        keep_wanted(campaign, 25, 3)
    told = tried(campaign, "1 or 2", 3, " of each optimizer")
    assert told == "1 or 2 of the 25 configurations planned of each optimizer were tried (the budget cut them to 3)"
    assert read_versions(tmp_path / "study")["wanted"] == 25


def test_without_a_budget_all_begins_at_once():
    assert Deadline().next_part(100, 2, 50) == 100


def test_parts_grow_with_what_is_known():
    deadline = Deadline(300.0)
    assert deadline.next_part(50, 4, 10) == 4  # nothing is known yet
    deadline.see(4, 6.0)
    assert deadline.pace == 1.5
    assert 40 < deadline.next_part(200, 4, 10) < 50  # a quarter of what is left, less the reserve
    assert 20 < deadline.next_part(200, 4, 1000) < 30  # which is at most a share of the budget
    deadline.see(96, 8994.0)
    assert deadline.next_part(50, 4, 10) == 0


def test_the_deadline_breaks_off_what_waits():
    with pytest.raises(OutOfTime), Deadline(0.2).enforce():
        time.sleep(30)


def test_a_runs_limit_inside_leaves_the_deadline():
    with pytest.raises(OutOfTime), Deadline(1.0).enforce():
        with pytest.raises(TimedOut), time_limit(0.05):
            time.sleep(30)
        time.sleep(30)
    with pytest.raises(OutOfTime), Deadline(0.2).enforce(), time_limit(60):
        time.sleep(30)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 14, 40])
def test_every_rate_is_in_the_order_once(count):
    order = spread_out(list(range(count)))
    assert sorted(order) == list(range(count))
    assert order[:3] == [0, 1, count - 1][: len(order)]
