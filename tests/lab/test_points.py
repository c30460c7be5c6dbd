"""Best of k, learning rates that are as good, edges and failures: by hand and by going through every case."""

from __future__ import annotations

import itertools
import math
from statistics import fmean

import pytest
from made_up import trial

from thalweg.lab.judging.best_of import best_of
from thalweg.lab.judging.rows import build_table
from thalweg.lab.search.configurations import (
    APART,
    Candidate,
    as_good_range,
    at_edge,
    candidates_of,
    good_range,
    highest_stable,
    ranked,
)
from thalweg.lab.search.protocol import second_look


def tried(
    values: dict[float, float], failed: tuple[float, ...] = (), **hyperparameters: list[float]
) -> list[Candidate]:
    trials = []
    for index, (rate, value) in enumerate(values.items()):
        settings = {"lr": rate, **{name: column[index] for name, column in hyperparameters.items()}}
        status = "diverged" if rate in failed else "done"
        trials.append(trial("sgd", index, 0, value, settings=settings, status=status))
    return candidates_of(trials)


@pytest.mark.parametrize("larger", [True, False])
def test_best_of_k_by_going_through_all_choices(larger: bool) -> None:
    values = [0.3, 0.9, 0.1, 0.9, 0.5, 0.7, 0.2]
    best = max if larger else min
    for found in best_of(values, larger):
        every = sorted(best(chosen) for chosen in itertools.combinations(values, found.k))
        assert found.expected == pytest.approx(fmean(every))
        assert found.low == every[math.ceil(0.1 * len(every)) - 1] if larger else found.low <= found.median
        assert every.index(found.median) <= len(every) / 2 <= len(every) - every[::-1].index(found.median)
    assert [found.k for found in best_of(values, larger)] == list(range(1, 8))
    assert found.expected == found.low == found.high == best(values)


def test_best_of_k_counts_what_failed_as_the_worst() -> None:
    assert best_of([0.5, math.nan], True, worst=0.1)[0].expected == pytest.approx(0.3)
    assert best_of([math.nan], True) == () and best_of([], True) == ()
    assert len(best_of([float(i) for i in range(40)], True)) == 16


def test_as_good_ends_where_a_line_in_log_lr_leaves_the_slack() -> None:
    found = tried({1e-4: 0.0, 1e-3: 0.8, 1e-2: 1.0, 1e-1: 0.5})
    best = ranked(found, True)[0]
    good = good_range(found, best, True, slack=0.1)
    assert good is not None and not (good.open_low or good.open_high)
    assert good.low == pytest.approx(10**-2.5) and good.high == pytest.approx(10**-1.8)
    assert good.decades == pytest.approx(0.7)


def test_an_end_is_open_where_nothing_beyond_was_tried_and_shut_by_a_failure() -> None:
    found = tried({1e-3: 0.99, 1e-2: 1.0, 1e-1: 0.98}, failed=(1e-1,))
    best = ranked(found, True)[0]
    good = good_range(found, best, True, slack=0.05)
    assert good is not None and good.open_low and not good.open_high
    assert (good.low, good.high) == (1e-3, 1e-2)
    assert highest_stable(found) == 1e-2 and not at_edge(found, best)


def test_a_loss_and_two_settings_that_share_a_rate() -> None:
    found = [*tried({1e-3: 2.0, 1e-2: 1.0, 1e-1: 3.0})]
    worse_twin = Candidate(7, (trial("sgd", 7, 0, 9.0, settings={"lr": 1e-2}),))
    assert as_good_range([*found, worse_twin], found[1], False, 0.1) == as_good_range(found, found[1], False, 0.1)


def test_a_poor_momentum_does_not_make_a_learning_rate_poor() -> None:
    rates = [10 ** (-4 + i / 8) for i in range(17)]
    momentum = [0.9 if i % 2 else 0.1 for i in range(17)]
    values = {rate: (1.0 if i % 2 else 0.2) if 3 <= i <= 11 else 0.0 for i, rate in enumerate(rates)}
    found = tried(values, momentum=momentum)
    good = good_range(found, ranked(found, True)[0], True, 0.05)
    assert good is not None and good.decades > 0.7
    alone = tried(values)  # the same values, had lr been the only hyperparameter
    narrow = good_range(alone, ranked(alone, True)[0], True, 0.05)
    assert narrow is not None and narrow.decades < 0.1


def test_edges_of_joint_settings_are_a_quarter_of_a_decade_wide() -> None:
    values = {1e-3: 0.0, 1.5e-3: 1.0, 1e-2: 0.5, 1e-1: 0.2}
    alone = tried(values)
    assert not at_edge(alone, alone[1])
    joint = tried(values, momentum=[0.1, 0.5, 0.9, 0.3])
    assert at_edge(joint, joint[1]) and not at_edge(joint, joint[2])
    beyond = second_look(list(values), 1.5e-3, 2, near=APART)
    assert min(beyond) == pytest.approx(1e-4) and max(beyond) < 1e-3  # so the second look goes on from there
    assert all(1e-3 < rate < 1e-2 for rate in second_look(list(values), 1.5e-3, 2))


def test_failures_rank_last_and_are_counted_by_name() -> None:
    trials = []
    for name, fate in (("good", "done"), ("sick", "diverged"), ("fat", "out of memory"), ("broken", "crashed")):
        trials += [trial(name, i, 0, 0.1 * i, status=fate) for i in range(3)]
        trials += [trial(name, 2, 1000 + s, 0.9, 0.9, status=fate if s else "done") for s in range(3)]
    table = build_table(trials, ["broken", "sick", "good", "fat"], True, 0.01, 0.05)
    assert table.rows[0].optimizer == "good" and table.rows[0].failures == {}
    assert {row.optimizer: row.failures for row in table.rows[1:]} == {
        "sick": {"diverged": 5},
        "fat": {"out of memory": 5},
        "broken": {"crashed": 5},
    }
    assert all(row.judgement is None and row.failed_finals == 2 for row in table.rows[1:])


def test_a_default_that_failed_on_one_seed_does_not_set_the_target() -> None:
    trials = [trial("a", 0, 0, 0.99), trial("a", 0, 1, 0.0, status="diverged")]
    trials += [trial("b", 0, seed, 0.5) for seed in range(2)]
    trials += [trial(name, 0, 1000, 0.5, 0.5) for name in "ab"]
    assert math.isnan(build_table(trials, ["a", "b"], True, 0.01, 0.05).target)


def test_seconds_to_target_are_steps_times_the_time_of_one() -> None:
    trials = [trial(name, 0, seed, 0.5, test) for name in "ab" for seed, test in ((0, None), (1000, 0.5), (1001, 0.6))]
    table = build_table(trials, ["a", "b"], True, 0.01, 0.05, milliseconds={"a": 2.0, "b": None})
    seconds = {row.optimizer: row.seconds_to_target for row in table.rows}
    assert seconds["a"] == pytest.approx(10 * 0.002) and math.isnan(seconds["b"])
    assert table.seconds_a_seed == pytest.approx(0.2)
