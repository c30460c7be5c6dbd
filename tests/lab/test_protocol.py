"""Equal budgets, log-spaced learning rates, the default first, a decade past the edge."""

from __future__ import annotations

import math

import pytest

from thalweg.lab.errors import LabError
from thalweg.lab.search.protocol import PRESETS, Protocol, first_look, second_look


@pytest.mark.parametrize("default", [1e-3, 1e-2, 3e-4, 7.0, 1e-4])
@pytest.mark.parametrize("count", [1, 2, 3, 6, 20])
def test_first_look_is_the_default_and_distinct_log_spaced_rates(default: float, count: int) -> None:
    rates = first_look(default, (1e-4, 1e-2), count)
    assert rates[0] == default
    assert len(set(rates)) == len(rates) == count
    assert all(1e-4 <= rate <= 1e-2 for rate in rates[1:])


def test_log_spacing_by_hand() -> None:
    assert first_look(0.5, (1e-4, 1e-1), 5) == [0.5, 1e-4, 1e-3, 1e-2, 1e-1]


def test_second_look_is_around_the_best() -> None:
    assert second_look([1e-3, 1e-2, 1e-1], 1e-2, 2) == [0.0316, 0.00316]
    assert len(second_look([1e-3, 1e-2, 1e-1], 1e-2, 5)) == 5


def test_a_best_at_the_edge_extends_the_range_by_a_decade() -> None:
    assert second_look([1e-3, 1e-2], 1e-2, 2) == [0.0316, 0.1]
    assert second_look([1e-3, 1e-2], 1e-3, 2) == [0.000316, 0.0001]
    assert second_look([1e-3, 1e-2], None, 2) == [0.000316, 0.0001]  # all diverged: smaller ones


def test_presets_and_changes() -> None:
    assert (PRESETS["quick"].trials, PRESETS["quick"].finalist_seeds) == (8, 5)
    assert (PRESETS["standard"].trials, PRESETS["standard"].finalists) == (25, 2)
    changed = Protocol.of("quick", trials=4, seeds=None)
    assert (changed.trials, changed.seeds) == (4, 1)
    assert not set(changed.search_seeds) & set(changed.fresh_seeds)


@pytest.mark.parametrize(
    "change", [{"trials": 0}, {"seeds": -1}, {"finalist_seeds": 1.5}, {"seeds": True}, {"alpha": 2}]
)
def test_a_wrong_number_is_named(change: dict[str, float]) -> None:
    (name,) = change
    with pytest.raises(LabError, match=f"^{name}: got .*must"):
        Protocol.of("quick", **change)


def test_an_unknown_preset_is_named_with_those_allowed() -> None:
    with pytest.raises(LabError, match="preset: got 'fast'; must be quick, standard, thorough"):
        Protocol.of("fast")


def test_one_more_rate_lies_in_the_wider_gap() -> None:
    assert second_look([1e-3, 1e-2, 1.0], 1e-2, 1) == [0.1]
    assert second_look([1e-5, 1e-2, 1e-1], 1e-2, 1) == [0.000316]
    assert second_look([1e-3, 1e-2, 1e-1], 1e-2, 1) == [0.0316]  # of two alike the one above


def test_looks_come_in_two_parts() -> None:
    assert [PRESETS[name].closer_looks for name in ("quick", "standard", "thorough")] == [[1, 1], [2, 2], [6, 6]]
    assert Protocol.of("quick", trials=4).closer_looks == []


def test_second_look_of_nothing() -> None:
    assert second_look([], None, 2) == [] and math.isfinite(first_look(1.0, None, 3)[1])
