"""How often a verdict is wrong, and how often a difference is found: whole studies, simulated, with the rates printed.

`make simulate` runs many more, of more kinds; docs/statistics.md has its table.
"""

from __future__ import annotations

import made_up
import numpy as np
import pytest
from made_up import World, share, verdicts

from thalweg.lab.judging import rows as judged
from thalweg.lab.judging.statistics import judge, mean_interval, seeds_to_decide

TOLD_APART = ("worse", "better")
QUICK = {"points": 7, "finalists": 1, "seeds": 3}
STANDARD = {"points": 24, "finalists": 2, "seeds": 10}


@pytest.mark.parametrize(("count", "preset", "studies"), [(2, QUICK, 400), (2, STANDARD, 200), (10, QUICK, 100)])
def test_copies_of_an_optimizer_are_seldom_told_apart(count: int, preset: dict[str, int], studies: int) -> None:
    found = share(verdicts(World([0.0] * count, **preset), studies), *TOLD_APART)
    print(f"{count} copies, {preset['seeds']} seeds: told apart in {found:.1%} of {studies} studies")
    assert found <= 0.05 + 2 * (0.05 * 0.95 / studies) ** 0.5


@pytest.mark.apart
def test_ten_copies_where_test_follows_validation_closely() -> None:
    """The leader's luck at its worst: Holm alone tells copies apart in more than 10 % (next test)."""
    found = share(verdicts(World([0.0] * 10, 10, points=1, finalists=1, related=1.0), 120), *TOLD_APART)
    print(f"10 copies, 10 seeds, test values equal validation values: {found:.1%}")
    assert found <= 0.05 + 2 * (0.05 * 0.95 / 120) ** 0.5


@pytest.mark.apart
def test_without_the_corrections_copies_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the tests above can fail: each correction is taken away in turn."""
    monkeypatch.setattr(judged, "TUNING_BIAS", (0.0,) * 4)
    tuned = share(verdicts(World([0.0] * 2, 10, points=24, finalists=1), 150), *TOLD_APART)
    monkeypatch.setattr("thalweg.lab.judging.statistics.selection_corrected", lambda p, *_: p)
    lucky = share(verdicts(World([0.0] * 10, 10, points=1, finalists=1, related=1.0), 150), *TOLD_APART)
    monkeypatch.setattr("thalweg.lab.judging.statistics.holm", lambda p_values, *_: list(p_values))
    bare = share(verdicts(World([0.0] * 10, 10, points=1, finalists=1), 60), *TOLD_APART)
    print(f"without the luck of tuning {tuned:.1%}, of the leader {lucky:.1%}, without Holm {bare:.1%}")
    assert tuned > 0.09 and lucky > 0.09 and bare > 0.2


def test_a_coarse_metric_does_not_invent_differences() -> None:
    for rows in (20, 64, 360):
        tables = verdicts(World([0.0] * 2, **QUICK, rows=rows), 100)
        print(f"accuracy on {rows} rows: told apart in {share(tables, *TOLD_APART):.1%}")
        assert share(tables, *TOLD_APART) <= 0.09


@pytest.mark.apart
def test_a_difference_of_two_seed_deviations_is_found() -> None:
    """The worse of two optimizers; among ten, the one that is worse."""
    power = {}
    for count, seeds in ((2, 3), (2, 5), (2, 10), (10, 10)):
        world = World([0.0] * (count - 1) + [-2.0], seeds, points=8)
        power[count, seeds] = share(verdicts(world, 60), "worse", of=world.names[-1:])
        print(f"two deviations worse, among {count}, {seeds} seeds: found in {power[count, seeds]:.0%}")
    assert power[2, 10] > 0.95 and power[2, 10] > power[2, 5] > power[2, 3] and power[10, 10] > 0.5


def test_practically_equal_is_seldom_said_of_what_is_not() -> None:
    """At the margin itself, where it is said most often."""
    tables = verdicts(World([0.0, -0.5], 30, points=1, finalists=1, margin=0.5), 300)
    found = share(tables, "equivalent")
    print(f"worse by just the margin: equivalent in {found:.1%}")
    assert found <= 0.05 + 2 * (0.05 * 0.95 / 300) ** 0.5


def test_intervals_cover_as_often_as_they_say_and_a_bootstrap_does_not() -> None:
    random = np.random.default_rng(0)
    covered = {"t": 0, "percentile bootstrap": 0}
    for _ in range(2000):
        values = random.normal(2.0, 1.0, 5)
        found = mean_interval(values.tolist())
        again = values[random.integers(0, 5, (400, 5))].mean(1)
        low, high = np.quantile(again, [0.025, 0.975])
        covered["t"] += found.low <= 2.0 <= found.high
        covered["percentile bootstrap"] += low <= 2.0 <= high
    rates = {name: hits / 2000 for name, hits in covered.items()}
    print(f"5 seeds, 95 % claimed: {rates}")
    assert abs(rates["t"] - 0.95) < 0.015 and rates["percentile bootstrap"] < 0.88


def test_the_seeds_that_are_asked_for_decide_four_times_in_five() -> None:
    random = np.random.default_rng(0)
    kept = []
    while len(kept) < 250:
        truth = random.normal(0, 1.5)
        seen = random.normal(truth, 1, 5).tolist()
        more = judge({"a": seen}, 0.5)["a"].more_seeds
        if more is not None:
            later = judge({"a": [*seen, *random.normal(truth, 1, more)]}, 0.5)["a"]
            kept.append(later.verdict != "undecided")
    print(f"decided after as many more seeds as were asked for: {np.mean(kept):.0%}")
    assert 0.72 <= np.mean(kept) <= 0.92


def test_luck_of_tuning_cannot_be_undone_by_seeds() -> None:
    values = [0.1, -0.08, 0.12, 0.02, 0.06]
    assert seeds_to_decide(values, 0.0, 0.05, tuning=0.5) is None
    assert seeds_to_decide([10 * v + 3 for v in values], 0.0, 1e-4, tuning=0.27) is not None


def test_trained_twins_are_not_told_apart() -> None:
    tables = [made_up.trained_twins(number) for number in range(8)]
    wrong = sum(share([table], *TOLD_APART) > 0 for table in tables)
    print(f"plain sgd under two names, trained: told apart in {wrong} of {len(tables)} studies")
    assert wrong <= 2
