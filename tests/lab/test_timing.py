"""The time of a step: of each optimizer, kept in the study, and never a reason to fail."""

from __future__ import annotations

import json
import math
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import little
import pytest
import torch

from thalweg.catalogue import Entry
from thalweg.lab.cost.step_time import measure_milliseconds
from thalweg.lab.results import Comparison, read
from thalweg.lab.verbs import compare as verb


class Slow(torch.optim.SGD):
    def step(self, closure: Any = None) -> Any:
        time.sleep(0.02)
        return super().step(closure)


class Broken(torch.optim.SGD):
    def step(self, closure: Any = None) -> Any:
        raise RuntimeError("no such kernel")


def test_a_slow_one_is_slow_and_one_that_raises_has_no_time() -> None:
    state = torch.get_rng_state()
    found = measure_milliseconds(little.task(), [Entry.of(spec) for spec in ("sgd", Slow, Broken)])
    quick, slow, none = found.values()
    assert quick is not None and slow is not None and none is None
    assert slow > 20 > quick > 0
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.apart
def test_measured_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = verb.compare(little.task(), ["sgd"], out=tmp_path, trials=1)
    kept = json.loads((tmp_path / "versions.json").read_text())["milliseconds"]
    row = first.rows[0]
    assert kept["sgd"] == row.milliseconds > 0
    assert row.seconds_to_target == row.steps_to_target * row.milliseconds / 1000
    monkeypatch.setattr("thalweg.lab.cost.step_time.measure_milliseconds", lambda *_: pytest.fail("measured again"))
    monkeypatch.setattr(verb, "measure_milliseconds", lambda *_: pytest.fail("measured again"), raising=False)
    assert verb.compare(little.task(), ["sgd"], out=tmp_path, trials=1).rows[0].milliseconds == row.milliseconds


def test_an_old_study_without_times_still_loads(tmp_path: Path) -> None:
    verb.compare(little.task(), ["sgd"], out=tmp_path, trials=1)
    path = tmp_path / "versions.json"
    versions = json.loads(path.read_text())
    del versions["milliseconds"]
    path.write_text(json.dumps(versions))
    found = read(tmp_path)
    assert isinstance(found, Comparison) and math.isnan(found.rows[0].milliseconds)


@pytest.mark.parametrize("on", ["alone", "auto"])
def test_a_study_with_a_budget_is_measured_once(on: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the budget is planned with is what the runner, its threads and the price are taken from."""
    measured: list[str] = []

    def counted(place: str) -> None:
        module, _, name = place.rpartition(".")
        function = getattr(import_module(module), name)

        def asked(*given: Any, **named: Any) -> Any:
            measured.append(name)
            return function(*given, **named)

        monkeypatch.setattr(place, asked)

    for place in ("cost.price.measure_milliseconds", "cost.price.measure_threads", "cost.price._evaluation"):
        counted(f"thalweg.lab.{place}")
    for place in ("study.session.choose", "runners.choice.choose", "verbs.compare.measure_milliseconds"):
        counted(f"thalweg.lab.{place}")
    verb.compare(little.task(), ["sgd"], trials=3, budget="60s", on=on, out=tmp_path / on, progress=lambda _: None)
    assert sorted(measured) == ["_evaluation", "choose", "measure_milliseconds", "measure_threads"]
