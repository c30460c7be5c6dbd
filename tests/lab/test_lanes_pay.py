"""The probe: what it finds of a task, and that a lane of each built-in task is a lone run."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import little
import pytest
import torch
from torch import nn

from thalweg import optim
from thalweg.catalogue import Entry
from thalweg.lab import load_task
from thalweg.lab.runners.alone import Alone
from thalweg.lab.runners.lanes import Finding, probe
from thalweg.lab.runners.lanes.probe import _seconds_in_lanes, _short, _verdict
from thalweg.lab.runners.lanes.runner import Lanes
from thalweg.lab.runners.lanes.stacked_runs import StackedRuns
from thalweg.lab.search.protocol import PRESETS
from thalweg.lab.task.builtin import BUILT_IN
from thalweg.lab.task.task import Task
from thalweg.lab.training.job import Job
from thalweg.lab.training.trial import Configuration
from thalweg.lab.verbs.compare import at_once

pytestmark = pytest.mark.usefixtures("one_thread")
ADAM = Entry.of("adam")
RECURRENT = "recurrent layer"
APART = {"sparse": "sparse gradients", "rl": ".item()", "speech": RECURRENT, "recall": RECURRENT}  # and why


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_lane_of_a_built_in_task_is_a_lone_run(name: str) -> None:
    if name == "rl":
        pytest.importorskip("gymnasium")
    short = _short(load_task(name), 3)
    entry = Entry.of("sgd" if name == "sparse" else "adam")
    jobs = [
        Job(str(place), "final", 0, entry, Configuration(entry.name, {"lr": 1e-3 * (place + 1)}, place % 2), 1)
        for place in range(3)
    ]
    runner = Lanes()
    found = {trial.id: trial for trial in runner.run(short, jobs)}
    assert len(runner.reasons) == (name in APART) and all(APART[name] in reason for reason in runner.reasons)
    status = "no number" if name == "rare-classes" else "done"  # a few rows have none of a rare class
    for trial in Alone().run(short, jobs):
        lane = found[trial.id]
        assert (lane.status, lane.steps) == (trial.status, trial.steps) == (status, 3)
        for part in ("train_loss", "validation_loss", "validation_metric"):
            assert getattr(lane.curve, part) == pytest.approx(getattr(trial.curve, part), rel=1e-5, nan_ok=True)
        if status == "done":
            assert lane.test_loss == pytest.approx(trial.test_loss, rel=1e-5)


def test_a_small_model_pays() -> None:
    found = probe(little.task(), [ADAM], seconds=0.5)
    assert found.pays and found.lanes >= 8 and found.gain > 1.2 and "as one of" in found.reason
    assert Finding(**json.loads(json.dumps(asdict(found)))) == found


def test_what_cannot_ride_is_told_without_a_trial_of_lanes() -> None:
    class Item(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = super().forward(x)
            return y * (1 + abs(y.mean().item()))

    found = probe(little.task(model=lambda: Item(2, 2)), [ADAM])
    assert not found.pays and found.lanes == 1 and ".item()" in found.reason
    found = probe(little.task(), [Entry.of(torch.optim.LBFGS)])
    assert not found.pays and "LBFGS re-evaluates the closure" in found.reason


def test_an_optimizer_that_draws_without_a_key_is_found_out() -> None:
    """Its steps are another each time: no lane of it can be a lone run."""

    class Drunk(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            found = super().step(closure)
            with torch.no_grad():
                for p in self.param_groups[0]["params"]:
                    p.add_(0.1 * torch.randn(()))
            return found

    found = probe(little.task(), [ADAM, Entry("drunk", Drunk)])
    assert not found.pays and found.reason == "in lanes drunk does not give what it gives alone"


def test_a_task_that_does_not_work_alone_says_so() -> None:
    found = probe(little.task(model=lambda: nn.Linear(3, 2)), [ADAM])
    assert not found.pays and "one run alone does not work: RuntimeError" in found.reason


def test_verdicts() -> None:
    assert _verdict({1: 4.0, 8: 1.0, 32: 0.5, 128: 0.6}) == Finding(
        True, 32, 8.0, "a step takes 4e+03 ms alone, 500 ms as one of 32"
    )
    assert not _verdict({1: 1.0, 8: 0.9}).pays
    assert _verdict({1: 1.0}).reason == "there is no memory for several at once"


class Waiting(optim.SGD):
    """Waits for something at each step: a sleeping thread does no work."""

    steps = 0

    def step(self, closure: Any = None) -> Any:
        Waiting.steps += 1
        time.sleep(0.03)
        return super().step(closure)


def test_a_step_that_waits_is_timed_by_the_wall() -> None:
    """By the thread's own clock it costs nothing: 128 lanes were tried, ten steps of each."""
    finding = probe(little.task(), [Entry.of(Waiting)])
    assert not finding.pays or finding.gain < 2
    assert Waiting.steps < 200


def test_the_gain_is_measured_with_the_optimizers_taking_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one of them in every lane a study of a dozen was said to take half of what it took."""
    seen: list[list[str]] = []

    class Seen(StackedRuns):
        def __init__(self, task: Task, jobs: Sequence[Job]) -> None:
            seen.append([job.entry.name for job in jobs])
            super().__init__(task, jobs)

    monkeypatch.setitem(_seconds_in_lanes.__globals__, "StackedRuns", Seen)
    entries = [Entry.of(name) for name in ("sgd", "adam", "lion")]
    _seconds_in_lanes(little.task(), entries, 8, 3)
    assert seen == [["sgd", "adam", "lion", "sgd", "adam", "lion", "sgd", "adam"]]


def test_a_comparison_tries_as_many_lanes_as_a_round_of_it_has() -> None:
    entries, quick = [Entry.of(name) for name in ("sgd", "adam", "lion")], PRESETS["quick"]
    assert at_once(entries, quick) == 3 * quick.first_look == 18
    assert at_once(entries, replace(quick, finalist_seeds=10)) == 30
