"""The claims whose scripts take seconds: run here, held to what their papers say and to what the page prints."""

from __future__ import annotations

import importlib
import math
import sys
from pathlib import Path
from statistics import median
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[1] / "docs"


def claim(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(DOCS / "claims"))
    monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module(name)


def on_the_page(rows: list[str]) -> bool:
    return "\n".join(rows) in (DOCS / "claims.md").read_text()


def test_without_correction_a_step_is_as_much_longer_as_the_formula_says(monkeypatch: pytest.MonkeyPatch) -> None:
    correction = claim("correction", monkeypatch)
    found = correction.ratios()
    formula = [(1 - 0.9**step) / math.sqrt(1 - 0.999**step) for step in range(1, len(found) + 1)]
    assert found == pytest.approx(formula, rel=1e-6)
    assert max(found) == found[12 - 1] and [round(found[step - 1], 2) for step in (1, 12, 100)] == [3.16, 6.57, 3.24]
    assert on_the_page(correction.rows())


@pytest.mark.apart
def test_adam_goes_uphill_where_amsgrad_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    counterexample = claim("counterexample", monkeypatch)
    adam, amsgrad = (counterexample.end(amsgrad, 20_000) for amsgrad in (False, True))
    assert adam > 0.9 and amsgrad < -0.9


@pytest.mark.apart
def test_adaptive_rules_learn_to_say_yes_on_wilsons_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    wilson = claim("wilson", monkeypatch)
    found = {rule: wilson.errors(rule) for rule in wilson.RULES}
    assert all(trained == 0 for trained, _ in found.values())
    minority = pytest.approx(1 - wilson.SHARE)
    assert {rule for rule, (_, new) in found.items() if new == minority} == {"adagrad", "rmsprop", "adam"}
    assert {rule for rule, (_, new) in found.items() if new == 0} == {"sgd", "momentum"}
    assert on_the_page([f"| `{rule}` | {trained:.0%} | {new:.0%} |" for rule, (trained, new) in found.items()])


def test_adam_with_a_large_eps_is_momentum(monkeypatch: pytest.MonkeyPatch) -> None:
    inclusion = claim("inclusion", monkeypatch)
    found = [inclusion.apart(eps) for eps in inclusion.EPSILONS]
    assert found == sorted(found, reverse=True) and found[0] > 0.5 and found[-1] < 1e-9


def test_gradient_descent_loses_the_rare_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    tails = claim("heavy_tails", monkeypatch)
    plain, adam = (tails.end(rule, lr) for rule, lr in (("sgd", 0.06), ("adam", 0.01)))
    assert plain[1:] == sorted(plain[1:]) and plain[4] > 3 * plain[1]  # the rarer, the higher
    assert max(adam[1:]) < 0.4 and adam[4] == min(adam[1:])


def test_sharpness_rises_to_two_over_the_learning_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    edge = claim("edge", monkeypatch)
    start, late = edge.follow(0.4, edge.RATES[0.4])
    assert start < 0.75 and late == pytest.approx(1, abs=0.15)


def test_a_good_step_is_no_thousandth_of_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lion's, at its best rate, is far above it and above AdamW's."""
    update = claim("update_ratio", monkeypatch)
    adamw, lion = (
        median(update.ratios("breast-cancer", rule, lr).values())
        for rule, lr in (("adamw", 0.00681), ("lion", 0.00464))
    )
    assert 1.5e-3 < adamw < 5e-3 and lion > 5e-3


def test_the_ranking_hangs_on_what_is_tuned(monkeypatch: pytest.MonkeyPatch) -> None:
    space = claim("search_space", monkeypatch)
    decided, both, turned = space.reversals("defaults", "lr tuned")
    assert decided > both > turned > 10 * (1 - space.SURE) / 2 * decided
    assert on_the_page(space.reversal_rows()) and on_the_page(space.adam_rows())


def test_a_ranking_is_not_turned_round_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    space = claim("search_space", monkeypatch)
    decided, both, turned = space.reversals("lr tuned", "lr tuned")
    assert decided == both > 0 == turned


def test_one_tuned_rule_is_better_than_as_many_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    many = claim("many_defaults", monkeypatch)
    gaps = [many.gap(task, "adam", "lr tuned", 8) for task in many.tasks("defaults", "lr tuned")]
    assert not any(gap.low > 0 for gap in gaps) and sum(gap.high < 0 for gap in gaps) > len(gaps) / 2
    assert on_the_page(many.rows())
    one = many.of_defaults("logistic", 1)  # of one draw, the mean of all
    tested = many.ends("logistic", "defaults", "final")
    assert one[min(one)] == pytest.approx(sum(own[min(one)] for own in tested.values()) / len(tested))
