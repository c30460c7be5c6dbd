"""The statistics against numbers worked out by hand and by SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from thalweg.lab.judging.selection_bias import correlation, selection_corrected
from thalweg.lab.judging.statistics import holm, judge, mean_interval, p_differs, p_equal, seeds_to_decide


def test_interval_by_hand() -> None:
    # mean 3, deviation sqrt(2.5), t(0.975, 4) = 2.7764451: half = 2.7764451 * 1.5811388 / 2.2360680
    found = mean_interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (found.mean, found.n) == (3.0, 5)
    assert found.low == pytest.approx(3 - 1.9632432, abs=1e-6)
    assert found.high == pytest.approx(3 + 1.9632432, abs=1e-6)


def test_interval_covers_as_often_as_it_says() -> None:
    draws = np.random.default_rng(0).normal(2.0, 1.0, (4000, 5))
    hits = sum(found.low <= 2.0 <= found.high for found in map(mean_interval, draws))
    assert hits / 4000 == pytest.approx(0.95, abs=0.012)


def test_interval_of_one_or_no_value_has_no_width() -> None:
    one, none = mean_interval([0.5]), mean_interval([])
    assert one.mean == 0.5 and math.isnan(one.low) and math.isnan(one.high)
    assert math.isnan(none.mean) and none.n == 0


def test_paired_test_is_scipys() -> None:
    values = [0.3, -0.1, 0.25, 0.4, 0.1, 0.2]
    assert p_differs(values) == pytest.approx(stats.ttest_1samp(values, 0.0).pvalue)


def test_equivalence_is_the_larger_of_two_one_sided_tests() -> None:
    values, margin = [0.3, -0.1, 0.25, 0.4, 0.1, 0.2], 0.5
    above = stats.ttest_1samp(values, -margin, alternative="greater").pvalue
    below = stats.ttest_1samp(values, margin, alternative="less").pvalue
    assert p_equal(values, margin) == pytest.approx(max(above, below))


def test_holm_by_hand() -> None:
    # sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1 = 0.04, 0.06, 0.06, 0.04; never falling: the last is 0.06
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    known, nothing = holm([0.01, math.nan])
    assert known == pytest.approx(0.02) and math.isnan(nothing)


def test_three_verdicts() -> None:
    noise = [0.01, -0.01, 0.02, -0.02, 0.0]
    found = judge(
        {
            "worse": [-1 + x for x in noise],
            "better": [1 + x for x in noise],
            "equal": [x / 100 for x in noise],
            "unclear": [1.0, -1.0, 0.4, -0.3, 0.2],
        },
        margin=0.05,
    )
    assert [found[name].verdict for name in found] == ["worse", "better", "equivalent", "undecided"]
    assert found["unclear"].more_seeds is not None and found["worse"].more_seeds is None


def test_holm_can_turn_a_verdict() -> None:
    values = [0.5, 0.9, 0.2, 0.6]
    assert 0.01 < p_differs(values) < 0.05
    alone = judge({"a": values}, margin=0.0)
    among_many = judge({"a": values, **{f"b{i}": [1.0, -1.0, 0.5, -0.4] for i in range(9)}}, margin=0.0)
    assert alone["a"].verdict == "better" and among_many["a"].verdict == "undecided"


def test_holm_is_statsmodels() -> None:
    from statsmodels.stats.multitest import multipletests

    p_values = np.random.default_rng(1).uniform(0, 0.2, 12).tolist()
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1].tolist())


def test_two_one_sided_tests_are_statsmodels() -> None:
    from statsmodels.stats.weightstats import DescrStatsW

    values = [0.3, -0.1, 0.25, 0.4, 0.1, 0.2]
    assert p_equal(values, 0.5) == pytest.approx(DescrStatsW(values).ttost_mean(-0.5, 0.5)[0])


def test_a_clear_difference_needs_fewer_seeds_than_a_faint_one() -> None:
    clear, faint = ([shift + x for x in (1.0, -1.0, 0.4, -0.3, 0.2)] for shift in (0.9, 0.3))
    few, many = (seeds_to_decide(values, margin=0.0, alpha=0.05) for values in (clear, faint))
    assert few is not None and many is not None and few < many


def test_the_leaders_luck_is_what_simulation_says() -> None:
    """Of ten equal optimizers judged on what the leader was chosen by, the least p-value, drawn anew."""
    random = np.random.default_rng(5)
    draws = random.standard_normal((3000, 10, 5))
    ordered = np.take_along_axis(draws, draws.mean(2).argsort(1)[:, ::-1, None], 1)
    least = stats.ttest_1samp(ordered[:, 1:] - ordered[:, :1], 0.0, axis=2).pvalue.min(1)
    for level in (0.05, 0.2):
        p = float(np.quantile(least, level))
        assert selection_corrected(p, 10, 5, 1.0) == pytest.approx(level, rel=0.2)
        assert selection_corrected(p, 10, 5, 0.0) < selection_corrected(p, 10, 5, 1.0)
    assert selection_corrected(0.03, 2, 5, 1.0) == 0.03  # of two either may lead
    assert selection_corrected(1e-9, 10, 5, 1.0) == pytest.approx(45e-9)  # beyond what is simulated: every pair counts


def test_correlation_of_test_with_validation() -> None:
    random = np.random.default_rng(2)
    luck = random.standard_normal((30, 10))
    apart = random.standard_normal((30, 10))
    assert correlation(luck, luck) > 0.99
    assert -0.15 < correlation(luck, apart) < 0.2
    seeds = 50 * random.standard_normal(10)  # what all share says nothing of the leader's luck
    assert -0.15 < correlation(luck + seeds, apart + seeds) < 0.2
    assert correlation(luck[:2, :3], luck[:2, :3]) == 1.0  # too few to tell: the strictest


def test_a_coarse_metric_is_not_surer_than_its_rows() -> None:
    assert p_differs([0.01] * 3) == 0.0 and 0.04 < p_differs([0.01] * 3, resolution=0.01) < 0.06
    assert p_equal([0.0] * 3, 0.005) == 0.0 and p_equal([0.0] * 3, 0.005, resolution=0.05) > 0.2


def test_one_seed_and_no_spread_are_judged_without_a_crash() -> None:
    found = judge({"one": [0.3]}, margin=0.1)["one"]
    assert found.verdict == "undecided" and found.more_seeds is None and math.isnan(found.p_differs)
    same = judge({"tie": [0.0, 0.0, 0.0], "shift": [0.3, 0.3, 0.3], "hair": [0.01, 0.01, 0.01]}, margin=0.1)
    assert [same[name].verdict for name in same] == ["equivalent", "better", "equivalent"]
    assert judge({}, margin=0.1) == {}


def test_the_leader_is_one_of_those_that_luck_chose_from() -> None:
    first, second = holm([0.01, 0.02], seeds=5)
    assert first == max(2 * 0.01, selection_corrected(0.01, 3, 5, 1.0)) > 0.02
    assert second == max(first, 0.02)  # two are left, of whom either may lead


def test_the_correlation_is_its_upper_limit() -> None:
    validation = np.random.default_rng(0).standard_normal((3, 5))
    test = validation + np.random.default_rng(1).standard_normal((3, 5))
    rows = [values - values.mean(0) - values.mean(1, keepdims=True) + values.mean() for values in (validation, test)]
    mean = np.mean([stats.pearsonr(one, other).statistic for one, other in zip(*rows, strict=True)])
    limit = np.tanh(np.arctanh(mean) + stats.norm.ppf(0.95) / (2 * 4 - 2) ** 0.5)
    assert correlation(validation.tolist(), test.tolist()) == pytest.approx(limit, abs=1e-6)


def test_seeds_to_decide_are_as_many_as_simulation_needs() -> None:
    """Seeds that may come, drawn one by one from all that mean and spread may be, and tested by SciPy. The lab's own
    draws are 250: its power is known to 0.06."""
    values, dice, share = [0.9, 2.1, 1.2], np.random.default_rng(0), {}
    n, mean, spread = len(values), np.mean(values), np.std(values, ddof=1)
    for more in range(1, 6):
        sigma = spread * np.sqrt((n - 1) / dice.chisquare(n - 1, 8000))
        middle = mean + sigma / n**0.5 * dice.standard_normal(8000)
        new = middle[:, None] + sigma[:, None] * dice.standard_normal((8000, more))
        share[more] = np.mean(stats.ttest_1samp(np.hstack([np.tile(values, (8000, 1)), new]), 0, axis=1).pvalue < 0.05)
    found = seeds_to_decide(values, 1e-9, 0.05)
    assert found is not None and share[found] > 0.74
    assert found <= min(more for more in share if share[more] > 0.81)
