"""Why configurations failed: told from what a study has written down, by the cliff in the rates."""

from __future__ import annotations

import math

import made_up

from thalweg.lab.judging.failures import why_failed
from thalweg.lab.judging.wording import Unit
from thalweg.lab.report.trials import screen


def failed(index, status="diverged", message="training loss is nan at step 7", **more):
    return made_up.trial("sgd", index, 0, math.nan, status=status, message=message, **more)


def sound(*indices):
    return [made_up.trial("sgd", index, 0, 0.9) for index in indices]


def test_a_cliff_is_told_by_its_rates_and_steps():
    trials = [
        *sound(0, 4, 8),
        failed(12),
        failed(10, message="training loss is inf at step 3"),
        made_up.trial("adam", 0, 0, 0.9),
    ]
    [told] = why_failed(trials)["sgd"]
    assert "2 of 5 runs diverged (training loss is inf at step 3): all of them at lr = 0.316 or above" in told
    assert "lr=0.1," in told and "adam" not in why_failed(trials)


def test_where_higher_rates_ended_it_is_no_cliff():
    [told] = why_failed([*sound(0, 4, 12), failed(8)])["sgd"]
    assert "lowest at lr = 0.1" in told and "rates up to 1" in told and "chance" in told


def test_a_rule_without_a_rate_points_to_the_command():
    [told] = why_failed([failed(0, settings={})])["sgd"]
    assert "training loss is nan" in told and "thalweg lens TASK" in told


def test_other_failures_have_a_line_each_and_chinese_is_there():
    lines = why_failed([*sound(0), failed(1), failed(2, "crashed", "ValueError: <no>"), failed(3, "timed out", None)])
    assert lines["sgd"][1:] == ["1 of 4 runs crashed: ValueError: <no>", "1 of 4 runs ran out of time."]
    assert "发散" in why_failed([failed(1)], "zh")["sgd"][0]
    interrupted = failed(1, "interrupted", "OSError: disk")
    assert why_failed([interrupted]) == {}


def test_the_report_has_it_as_text():
    unit = Unit("accuracy")
    parts = screen([*sound(0), failed(2, "crashed", "ValueError: <no>")], unit, {}, {}).parts
    assert any("Why runs failed" in part and "&lt;no&gt;" in part for part in parts)
    assert not any("Why runs failed" in part for part in screen(sound(0), unit, {}, {}).parts)
