"""Where nobody beats the untrained model or the constant answer, the answer says so and has no line."""

from __future__ import annotations

from functools import partial

import little
import pytest
import torch

import thalweg
from thalweg.lab.errors import TaskError
from thalweg.lab.judging.nothing_learned import unbeaten
from thalweg.lab.results import read
from thalweg.lab.task.baselines import baselines
from thalweg.lab.task.own_loop import OwnLoop


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
    assert found.verdict.startswith("Nothing was learned: the best on random, sgd,") and found.line == ""
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
        return float(torch.rand(())) + (run.report(0, 0.1) or 0.0)

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
    assert found.verdict.startswith("Nothing was learned") and found.line == ""


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


def test_a_baseline_can_be_given_afterwards(tmp_path):
    CALLS.clear()
    asked = {"direction": "min", "trials": 3, "finalist_seeds": 3, "out": tmp_path / "study"}
    assert thalweg.compare(noise, ["sgd"], **asked).line
    number = len(CALLS)
    found = thalweg.compare(noise, ["sgd"], **asked, baseline=0.4)
    assert found.verdict.startswith("Nothing was learned") and len(CALLS) == number
    assert "the baseline that was given (0.4)" in found.verdict and found.line == ""
    assert thalweg.compare(noise, ["sgd"], **asked, baseline=100).line
    with pytest.raises(TaskError, match="baseline: got nan; must be a number"):
        thalweg.compare(noise, ["sgd"], **asked, baseline=float("nan"))
    with pytest.raises(TaskError, match="baseline: a thalweg.Task has its own"):
        thalweg.compare(random_labels(), ["sgd"], baseline=0.5)


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
