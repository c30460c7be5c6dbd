"""Where nobody beats the untrained model or the constant answer, the answer says so and has no line."""

from __future__ import annotations

import little
import pytest
import torch

import thalweg
from thalweg.lab.judging.nothing_learned import unbeaten
from thalweg.lab.results import read
from thalweg.lab.task.baselines import baselines


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
    ],
)
def test_who_is_beaten(values, base, larger, beaten):
    assert (unbeaten(values, base, larger) is None) is beaten
