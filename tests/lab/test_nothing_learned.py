"""Where nobody beats the untrained model or the constant answer, the answer says so and has no line."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import little
import pytest
import torch

import thalweg
from thalweg.lab.errors import TaskError
from thalweg.lab.judging.nothing_learned import alike_at_0, unbeaten, untrained
from thalweg.lab.judging.wording import Unit
from thalweg.lab.random.seeds import FRESH
from thalweg.lab.results import read
from thalweg.lab.task.baselines import baselines
from thalweg.lab.task.own_loop import OwnLoop
from thalweg.lab.training.trial import Curve


def random_labels():
    draw = torch.Generator().manual_seed(3)
    x = torch.randn(240, 2, generator=draw)
    return little.task(train=(x, torch.randint(2, (240,), generator=draw)), validation=0.2, test=0.2, name="random")


def test_random_labels_have_no_answer(tmp_path):
    found = thalweg.compare(random_labels(), ["sgd", "adam"], trials=3, on="alone", out=tmp_path / "study")
    assert found.verdict.startswith("Nothing was learned: the best on random,")
    assert "not shown to beat" in found.verdict and found.line == ""
    assert read(tmp_path / "study").verdict == found.verdict
    assert "Nothing was learned" in (tmp_path / "study" / "report.html").read_text()


def test_a_sweep_says_it_too(tmp_path):
    found = thalweg.sweep(random_labels(), "sgd", lr=(1e-6, 1e-5), points=3, closer=0, extend=False, seeds=2,
                          on="alone", out=tmp_path / "study")  # fmt: skip
    assert found.verdict.startswith("Nothing was learned") and found.line == ""


def test_a_tuning_says_it_too(tmp_path):
    found = thalweg.tune(random_labels(), "sgd", hyperparameters="lr", trials=3, finalists=1, finalist_seeds=3,
                         epochs=1, method="sobol", on="alone", out=tmp_path / "study")  # fmt: skip
    assert found.verdict.startswith("Nothing was learned: the default on random, sgd,") and found.line == ""
    assert read(tmp_path / "study").verdict == found.verdict


def guesses(run, before=True, offset=0):
    """A loop over labels that nothing can be learned of."""
    draw = torch.Generator().manual_seed(3)
    x, y = torch.randn(80, 4, generator=draw), torch.randint(2, (80,), generator=draw)
    model = torch.nn.Linear(4, 2)
    optimizer = run.optimizer(model)

    def told(step):
        with torch.no_grad():
            value = torch.nn.functional.cross_entropy(model(x[40:]), y[40:])
        run.report(step, value)
        return value

    if before:
        told(0)
    for step in range(1, 4):
        torch.nn.functional.cross_entropy(model(x[:40]), y[:40]).backward()
        optimizer.step()
        value = told(step - offset)
    return value


@pytest.mark.parametrize("verb", ["compare", "tune", "sweep"])
def test_an_own_loop_that_reports_step_0_is_measured_by_it(verb, tmp_path):
    more = {"sweep": {"points": 3, "closer": 0, "lr": (1e-3, 3e-1), "extend": False, "seeds": 3}}
    more |= {"tune": {"hyperparameters": "lr=1e-3:3e-1:1e-2", "trials": 3, "method": "sobol"}}
    asked = more.get(verb, {"trials": 3, "finalist_seeds": 3}) | {"direction": "min", "out": tmp_path / "study"}
    optimizers = "sgd" if verb == "tune" else ["sgd"]

    def rolled(run):
        run.report(0, 0.1)
        run.report(1, 0.09)
        return float(torch.rand(())) + 0.1

    found = getattr(thalweg, verb)(rolled, optimizers, **asked)
    assert found.verdict.startswith("Nothing was learned: the best on rolled, sgd, reaches")
    assert "not shown to beat the untrained model (0.1)" in found.verdict and found.line == ""
    assert read(tmp_path / "study").verdict == found.verdict


def test_a_script_that_makes_its_optimizer_is_named_once(tmp_path):
    read_by = {"read": r"step (?P<step>\d): (\S+)", "metric": "loss", "direction": "min", "baseline": 0.5}
    loop = OwnLoop(command="echo step 0: 0.5 {seed} {lr}", name="num", **read_by)
    found = thalweg.tune(loop, None, hyperparameters="lr=1e-3:1", trials=2, finalist_seeds=2, method="sobol",
                         out=tmp_path / "study")  # fmt: skip
    assert found.verdict.startswith("Nothing was learned: the best of num reaches 0.5")
    headings, _ = found.cells()
    assert headings == ["trial", "lr", "loss, search", "loss, fresh seeds", ""]


def test_a_real_loop_over_random_labels_has_no_line(tmp_path):
    found = thalweg.compare(guesses, ["sgd", "adam"], direction="min", trials=3, out=tmp_path / "study")
    assert found.verdict.startswith("Undecided whether anything was learned")
    assert found.line == "thalweg.optim.SGD(model.parameters(), lr=0.001)"


def test_a_loop_that_counts_from_0_has_trained_by_then(tmp_path):
    """What it reports at step 0 is no baseline: it differs between learning rates."""
    loop = partial(guesses, before=False, offset=1)
    loop.__name__ = "guesses"
    found = thalweg.compare(loop, ["sgd", "adam"], direction="min", trials=3, finalist_seeds=2, out=tmp_path / "study")
    assert "not tested: longer runs; whether anything was learned (no baseline)" in found.verdict and found.line
    assert "--baseline" in found.notes[-1]


CALLS = []


def noise(run):
    CALLS.append(run.seed)
    return float(torch.rand(()))


@pytest.mark.apart
def test_a_baseline_can_be_given_afterwards(tmp_path):
    CALLS.clear()
    asked = {"direction": "min", "trials": 3, "finalist_seeds": 3, "out": tmp_path / "study"}
    assert thalweg.compare(noise, ["sgd"], **asked).line
    number = len(CALLS)
    found = thalweg.compare(noise, ["sgd"], **asked, baseline=0.4)
    assert found.verdict.startswith("Undecided whether anything was learned") and len(CALLS) == number
    assert "the baseline that was given (0.4)" in found.verdict and "lr=0.001" in found.line
    assert thalweg.compare(noise, ["sgd"], **asked, baseline=100).line
    with pytest.raises(TaskError, match="baseline: got nan; must be a number"):
        thalweg.compare(noise, ["sgd"], **asked, baseline=float("nan"))
    with pytest.raises(TaskError, match="baseline: a thalweg.Task has its own"):
        thalweg.compare(random_labels(), ["sgd"], baseline=0.5)


@pytest.mark.apart
def test_what_is_learned_has_a_line(results):
    assert results["compare"].line and "Nothing" not in results["compare"].verdict
    assert results["tune"].line and "Nothing" not in results["tune"].verdict
    assert results["sweep"].line and "Nothing" not in results["sweep"].verdict


def test_baselines_are_measured():
    task = little.task()
    found = baselines(task, "test")
    share = float(task.test[1].double().mean())
    majority = int(task.train[1].double().mean() > 0.5)
    assert found["constant"] == pytest.approx(share if majority else 1 - share)
    assert 0 <= found["untrained"] <= 1
    assert set(baselines(little.task(metric="loss"), "validation")) == {"untrained"}


def test_a_metric_that_fails_untrained_leaves_no_baseline():
    def metric(output, target):
        raise RuntimeError("too early")

    assert baselines(little.task(metric=metric, direction="max"), "test") == {}


@pytest.mark.parametrize(
    ("values", "base", "larger", "beaten"),
    [
        ([0.9, 0.91, 0.89], {"constant": 0.5}, True, True),
        ([0.49, 0.62, 0.41], {"constant": 0.5}, True, False),
        ([0.52, 0.7, 0.5], {"constant": 0.5, "untrained": 0.3}, True, False),
        ([0.1, 0.11], {"untrained": 2.3}, False, True),
        ([2.4, 2.5], {"untrained": 2.3}, False, False),
        ([0.6], {"constant": 0.5}, True, True),
        ([0.4], {"constant": 0.5}, True, False),
        ([0.7, 0.7], {"constant": 0.5}, True, True),
        ([0.4], {}, True, True),
        ([0.4], {"untrained": float("nan")}, True, True),
        ([0.52, 0.72, 0.42], {"untrained": [0.5, 0.7, 0.4]}, True, True),  # by seed
        ([0.52, 0.72, 0.42], {"untrained": [0.7, 0.5, 0.4]}, True, False),
    ],
)
def test_who_is_beaten(values, base, larger, beaten):
    assert (unbeaten(values, base, larger) is None) is beaten


def test_the_best_of_many_rates_is_luck():
    """Of 13 rates on 3 seeds that nothing can be learned on, the best seldom counts as better than the baseline."""
    draw = torch.Generator().manual_seed(0)
    base = {"given": 0.0}
    alone = together = 0
    for _ in range(400):
        best, *others = sorted(torch.randn(13, 3, generator=draw).tolist(), key=sum, reverse=True)
        alone += unbeaten(best, base, True) is None
        together += unbeaten(best, base, True, [(other, base) for other in others]) is None
    assert alone > 0.2 * 400  # what the correction is for
    assert together < 0.06 * 400


def test_two_seeds_of_many_rates_can_show_that_something_was_learned():
    base = {"constant": 0.5}
    rivals = [([0.9 + 0.01 * number, 0.93], base) for number in range(6)] + [([0.5, 0.2], base)] * 6
    assert unbeaten([0.97, 0.93], base, True, rivals) is None
    assert unbeaten([0.97, 0.93], base, True, [([0.5, 0.2], base)] * 12).ahead == 2


def test_seeds_that_differ_much_leave_it_undecided():
    base = unbeaten([0.95, 0.60], {"untrained": 0.1}, True)
    assert base is not None and base.ahead == 2 and base.more
    said = base.said("the best of f", "0.775", Unit("accuracy", False))
    assert said.startswith("Undecided whether anything was learned: the best of f reaches 0.775")
    assert f"with 2 seeds; about {base.more} more seed" in said and "Nothing" not in said


def test_a_gain_within_the_margin_is_none():
    values = [0.501, 0.4995, 0.5005, 0.4994]
    assert unbeaten(values, {"constant": 0.5}, True, margin=0.005).ahead == 0
    assert unbeaten(values, {"constant": 0.5}, True, margin=0.0001).ahead == 4


@pytest.mark.parametrize(
    ("curves", "counts"),
    [
        ([[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]], False),  # at its best from the first epoch on
        ([[0.9, 0.8, 0.7], [0.9, 0.9, 0.9]], False),  # at its best after the first
        ([[0.1, 0.1, 0.1], [0.1, 0.1, 0.2]], True),
        ([[0.1, 0.3], [0.2, 0.3]], None),  # differs between learning rates
    ],
)
def test_what_counts_as_untrained(curves, counts):
    trials = [
        SimpleNamespace(seed=0, optimizer="sgd", settings={"lr": 0.1 * number}, curve=curve)
        for number, curve in enumerate([Curve([*range(len(each))], [], [], each) for each in curves], 1)
    ]
    assert bool(alike_at_0(trials)) is (counts is not None)
    assert bool(untrained(trials, larger_is_better=True)) is bool(counts)


def test_where_step_0_is_the_best_it_is_not_known(tmp_path):
    def saturated(run):
        for epoch in range(3):
            run.report(epoch, 1.0)

    found = thalweg.compare(saturated, ["sgd"], direction="max", trials=2, finalist_seeds=2, out=tmp_path / "study")
    assert "Nothing was learned" not in found.verdict and found.line
    assert "is that reported before training? `--baseline` decides" in found.verdict


def test_a_tuning_that_learned_nothing_names_the_best_on_fresh_seeds(tmp_path):
    """The low default is best there, high rates in the search."""

    def rolled(run):
        return 2.0 + run.get("lr", 1.0) * (1 if run.seed >= FRESH else -1)

    found = thalweg.tune(rolled, "sgd", direction="min", hyperparameters="lr=1e-3:1:1e-3", trials=3, finalist_seeds=2,
                         finalists=1, method="sobol", baseline=0.5, out=tmp_path / "study")  # fmt: skip
    assert found.verdict.startswith("Nothing was learned: the default on rolled, sgd, reaches 2.001")
