"""The range test: a rate that climbs as it says, an interval that theory knows, and a sweep that may disagree."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import little
import pytest
import quadratic
import torch
from asking import job

from thalweg.lab.errors import LabError
from thalweg.lab.results import RangeTest
from thalweg.lab.results.range_test import ascent, interval_of, smoothed
from thalweg.lab.study.campaign import Progress
from thalweg.lab.training.climb import Climb
from thalweg.lab.training.run import Run
from thalweg.lab.training.trial import Trial
from thalweg.lab.verbs.range_test import around, range_test
from thalweg.lab.verbs.replay import replay, report

RATES: list[float] = []


class Noted(torch.optim.SGD):
    def step(self, closure: Any = None) -> Any:
        RATES.append(self.param_groups[0]["lr"])
        return super().step(closure)


@pytest.fixture(scope="module")
def bowl(tmp_path_factory: pytest.TempPathFactory) -> RangeTest:
    return range_test(quadratic.task(), "sgd", low=1e-4, steps=150, out=tmp_path_factory.mktemp("bowl"))


def test_the_rate_climbs_by_the_same_factor_each_step(tmp_path: Path) -> None:
    RATES.clear()
    range_test(little.task(), Noted, low=1e-6, high=1e-2, steps=21, seeds=1, epochs=1, out=tmp_path)
    wanted = [1e-6 * 10 ** (4 * place / 20) for place in range(21)]
    assert RATES[:21] == pytest.approx(wanted) and RATES[20] == pytest.approx(1e-2)


def test_a_loss_made_up_has_the_interval_it_was_made_with() -> None:
    climb = Climb(1e-6, 1.0, 601)
    rates = [climb.rate(place) for place in range(601)]
    # flat, falling fastest at 1e-3, lowest near 1e-1, then up
    losses = [3 - 2 / (1 + (1e-3 / r) ** 3) + 50 * max(0.0, math.log10(r / 1e-1)) for r in rates]
    made = ascent(_trial(losses), climb)
    assert abs(math.log10(made.steepest / 1e-3)) < 0.1 and abs(math.log10(made.turn / 1e-1)) < 0.3
    flat = ascent(_trial([3.0] * 400), climb)
    assert math.isnan(flat.turn) and math.isnan(flat.steepest)
    rising = ascent(_trial([3.0 + 0.01 * place for place in range(400)]), climb)
    assert math.isnan(rising.turn)
    assert interval_of([_trial([3.0] * 400), _trial([3.0] * 400), _trial(losses)], climb) is None
    both = interval_of([_trial(losses), _trial(losses)], climb)
    assert both is not None and both[0] == pytest.approx(made.steepest, rel=0.01)


def test_smoothing_has_no_lag() -> None:
    line = [float(place) for place in range(30)]
    assert smoothed(line, 4) == pytest.approx(line)
    assert smoothed([0, 0, 3, 0, 0], 1) == [0, 1, 1, 1, 0]


def test_the_interval_of_a_quadratic_ends_near_what_diverges(bowl: RangeTest) -> None:
    assert bowl.interval is not None and len(bowl.ascents) == 3
    low, high = bowl.interval
    # Past 2 / L the steepest direction grows again, from next to nothing: the loss turns up a few steps later.
    assert low < quadratic.LARGEST and quadratic.BEST / 3 < high < 5 * quadratic.LARGEST
    assert all(len(each.losses) < 150 for each in bowl.ascents)  # it was ended when it blew up


def test_the_sweep_has_rates_inside_and_outside_and_says_whether_it_agrees(bowl: RangeTest) -> None:
    inside = [candidate for candidate in bowl.rows if bowl.in_interval(candidate)]
    assert len(inside) == 3 and len(bowl.rows) == 6 and bowl.rows[0].rate < bowl.rows[-1].rate
    assert bowl.best is not None and bowl.agrees == (bowl.best in inside)
    assert ("the sweep agrees" in bowl.verdict) == bowl.agrees and f"lr={bowl.best.rate}" in bowl.line
    low, high = bowl.interval or (0, 0)
    assert [candidate.rate for candidate in bowl.rows if candidate.index] == around(low, high)


def test_a_sweep_that_disagrees_is_told(bowl: RangeTest) -> None:
    assert bowl.interval is not None

    def moved(trial: Trial) -> Trial:
        """As if the rate below the interval had ended far better than all others."""
        if trial.phase != "search" or trial.settings["lr"] > bowl.interval[0] / 2:  # type: ignore[index]
            return trial
        value = [-100.0] * len(trial.curve.validation_metric)
        return replace(trial, curve=replace(trial.curve, validation_metric=value))

    other = RangeTest(bowl.folder, bowl.spec, bowl.versions, [moved(trial) for trial in bowl.trials])
    assert not other.agrees and "the sweep does not agree" in other.verdict and "outside" in other.verdict


def test_again_replayed_and_reported(bowl: RangeTest) -> None:
    seen: list[Progress] = []
    again = range_test(quadratic.task(), "sgd", low=1e-4, steps=150, out=bowl.folder, progress=seen.append)
    assert [now.trial for now in seen] == [None] and str(again) == str(bowl)
    assert seen[0].done == seen[0].total == len(bowl.trials) == 3 + 6 * 3
    climb = next(trial for trial in bowl.trials if trial.phase == "range")
    assert replay(bowl.folder, climb.id, task=quadratic.task()).apart == 0
    assert str(report(bowl.folder)) == str(bowl)


def test_a_loss_that_never_falls_is_no_answer(tmp_path: Path) -> None:
    class Still(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            return closure()

    found = range_test(quadratic.task(), Still, steps=40, seeds=2, out=tmp_path)
    assert found.interval is None and found.verdict.startswith("No answer for") and found.line == ""
    assert len(found.trials) == 2 and found.cells()[1] == [] and "No answer" in str(found)


class Broken(torch.optim.SGD):
    def step(self, closure: Any = None) -> Any:
        raise RuntimeError("no such kernel")


def test_a_crash_is_told(tmp_path: Path) -> None:
    found = range_test(little.task(), Broken, steps=40, seeds=2, out=tmp_path)
    assert "No answer" in found.verdict and "no such kernel" in " ".join(found.notes)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"low": 1.0, "high": 0.1}, "low, high: got .* the lower first"),
        ({"steps": 5}, "steps: got 5; must be a whole number of at least 20"),
        ({"seeds": 0}, "seeds: got 0"),
        ({"optimizer": ["sgd", "adam"]}, "optimizer: got 2 \\(sgd, adam\\); must be one"),
    ],
)
def test_wrong_arguments(wrong: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(LabError, match=message):
        range_test(little.task(), **{"optimizer": "sgd", "out": tmp_path / "s", **wrong})
    assert not (tmp_path / "s").exists()


def _trial(losses: list[float]) -> Trial:
    from thalweg.lab.training.trial import Curve

    steps = list(range(1, len(losses) + 1))
    nothing = [math.nan] * len(losses)
    return Trial(
        id="a", phase="range", index=0, optimizer="sgd", settings={"lr": 1e-6}, seed=0, status="done", message=None,
        steps=len(losses), curve=Curve(steps, losses, nothing, nothing), test_loss=None, test_metric=None, seconds=0.0,
        started=0.0,
    )  # fmt: skip


class TwoRates(torch.optim.SGD):
    """The bias learns at a tenth of the rate."""

    seen: ClassVar[list[tuple[float, float]]] = []

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        weights, *biases = params
        super().__init__([{"params": [weights]}, {"params": biases, "lr": lr / 10}], lr)

    def step(self, closure: Any = None) -> Any:
        first, second = (group["lr"] for group in self.param_groups)
        self.seen.append((first, second))
        return super().step(closure)


def test_groups_keep_their_ratio_while_the_rate_climbs() -> None:
    TwoRates.seen.clear()
    climb = Climb(1e-5, 1e-1, 20)
    climb.train(Run(little.task(), job(TwoRates, 1e-5)))
    assert len(TwoRates.seen) == 20
    for step, (first, second) in enumerate(TwoRates.seen):
        assert first == pytest.approx(climb.rate(step)) and second == pytest.approx(climb.rate(step) / 10)
