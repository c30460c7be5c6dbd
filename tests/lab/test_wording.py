"""The answer's words, from studies made up for it."""

from __future__ import annotations

import math

import pytest
from made_up import trial

from thalweg.lab.judging.notes import _decided
from thalweg.lab.judging.rows import Table, build_table
from thalweg.lab.judging.wording import Unit, duration, listed, span, status, verdict
from thalweg.lab.report import answer
from thalweg.lab.results import Comparison
from thalweg.lab.study.session import seeds_run
from thalweg.lab.training.trial import Trial

LUCK = [0.003, -0.002, 0.001, 0.002, -0.001, 0.0015, -0.0025, 0.0005]


def optimizer(name: str, values: list[float], **changes: object) -> list[Trial]:
    search = [trial(name, i, 0, value) for i, value in enumerate((0.5, 0.9, 0.95, 0.951, 0.7))]
    settings = {"lr": 10.0 ** (3 / 4 - 3)}
    return search + [
        trial(name, index, 1000 + s, v - lag, v - lag, settings=settings, seconds=1.0, test_loss=1 - v, **changes)
        for s, v in enumerate(values)
        for index, lag in ((3, 0.0), (2, 0.05))
    ]


def table(*studies: list[Trial]) -> Table:
    trials = [t for study in studies for t in study]
    return build_table(trials, list(dict.fromkeys(t.optimizer for t in trials)), True, 0.005, 0.05)


def test_every_kind_of_finding_in_one_answer() -> None:
    found = table(
        optimizer("lead", [0.97 + x for x in LUCK]),
        optimizer("near", [0.9699 + x + y / 20 for x, y in zip(LUCK, LUCK[::-1], strict=True)]),
        optimizer("far", [0.95 + x + y / 5 for x, y in zip(LUCK, LUCK[::-1], strict=True)]),
        optimizer("open", [0.958 + x + 5 * y for x, y in zip(LUCK, LUCK[::-1], strict=True)]),
        optimizer("broken", [0.9] * 8, status="crashed"),
    )
    text = verdict(found, "digits", Unit("accuracy"), "more than 20 epochs")
    assert text.startswith("lead at lr 0.00562 (0.")
    for part in (
        " perform equivalently) leads on digits: 97.0 % ± 0.2 test accuracy on 8 fresh seeds; ",
        "equivalent within the margin: near; ",
        "worse: far (-2.0 ± 0.0 points); ",
        "undecided: open (about ",
        " needed for 80 % power); ",
        "failed on a fresh seed: broken; ",
    ):
        assert part in text, text
    assert text.endswith("; not tested: more than 20 epochs.")
    assert found.seconds_a_seed == pytest.approx(10.0)
    more = next(row.judgement.more_seeds for row in found.rows if row.optimizer == "open" and row.judgement)
    assert more and duration(10 * more) in text
    assert [status(row, row is found.rows[0]) for row in found.rows][-1] == "failed on 8 of 8 fresh seeds"


def test_how_many_pairs_are_decided_counts_only_pairs_that_were_judged() -> None:
    pairs = list(zip(LUCK, LUCK[::-1], strict=True))
    lead, far = optimizer("lead", [0.97 + x for x in LUCK]), optimizer("far", [0.95 + x + y / 5 for x, y in pairs])
    wide = [optimizer(name, [0.958 + x + 5 * y for x, y in pairs]) for name in ("open", "ajar")]
    open_ = optimizer("open", [0.96 + x + 5 * y for x, y in pairs])
    broken = [optimizer(name, [0.9] * 8, status="crashed") for name in ("broken", "bust")]
    apart = " Not judged, for a fresh seed that failed: broken"
    assert _decided(table(lead)) == []
    assert _decided(table(lead, far)) == ["Decided: 1 of 1 pair with the leader."]
    assert _decided(table(lead, far, open_)) == ["Decided: 1 of 2 pairs with the leader."]
    (line,) = _decided(table(lead, open_, broken[0]))
    assert line.startswith(f"Not decided: 1 of 1 pair with the leader.{apart}. To decide it takes about "), line
    (line,) = _decided(table(lead, *wide, *broken))
    head = f"Not decided: 2 of 2 pairs with the leader.{apart}, bust. To decide half of them takes about "
    assert line.startswith(head) and " more seeds, about " in line, line
    assert _decided(table(*broken)) == ["No pair was judged: every optimizer failed on a fresh seed."]
    assert _decided(table(lead, *broken)) == [
        "No pair was judged: every optimizer but the leader failed on a fresh seed."
    ]
    one = table(optimizer("lead", [0.97]), optimizer("far", [0.9]))
    assert _decided(one) == ["Not decided: 1 of 1 pair with the leader. One seed cannot decide it."]


def test_one_is_no_plural() -> None:
    broken = table(optimizer("lead", [0.97]), optimizer("broken", [0.9], status="crashed"))
    assert status(broken.rows[1], False) == "failed on 1 of 1 fresh seed"
    assert (
        Comparison.seeds_missing({"protocol": {"finalist_seeds": 2}}, broken.rows[0].finals) == "1 fresh seed of lead"
    )
    assert [seeds_run(0, 1), seeds_run(1, 2)] == ["0 of 1 fresh seed was run", "1 of 2 fresh seeds were run"]
    assert (price := answer.price(broken.rows[0].finals, {"threads": {"threads": 1}}))[2] == "1 run on 1 thread", price


def test_many_are_named_by_their_nearest() -> None:
    pairs = list(zip(LUCK, LUCK[::-1], strict=True))
    worse = [optimizer(f"w{i}", [0.9 - 0.01 * i + x + y / 9 for x, y in pairs]) for i in range(12)]
    text = verdict(table(optimizer("lead", [0.99 + x for x in LUCK]), *worse), "t", Unit("accuracy"))
    assert "w0 (" in text and "w1 (" in text and "w2 (" in text and "and 9 more" in text and "w3" not in text
    assert len(text) < 300


def test_no_answer_names_what_happened() -> None:
    fates = [optimizer(name, [0.9], status=name) for name in ("out of memory", "diverged")]
    assert verdict(table(*fates), "t", Unit("loss")) == (
        "No answer for t: every optimizer diverged or ran out of memory on every fresh seed."
    )


def test_numbers_in_words() -> None:
    assert span(0.00123, 0.0123) == "0.00123 to 0.0123" and span(1e-3, 1.0001e-3) == "0.001"
    assert [duration(s) for s in (0.2, 1.2, 80, 240, 36000)] == [
        "about 1 second",
        "about 1 second",
        "about 80 seconds",
        "about 4 minutes",
        "about 10.0 hours",
    ]
    assert listed(["a"]) == "a" and listed(list("abcdef")) == "a, b, c, d and 2 more"
    assert Unit("loss").value(math.nan) == "none"


def test_a_leader_at_the_edge_is_set_off_by_commas() -> None:
    edge = [trial("lead", i, 0, value) for i, value in enumerate((0.5, 0.9, 0.95))]
    edge += [trial("lead", 2, 1000 + s, 0.95 + v, 0.95 + v, settings={"lr": edge[2].settings["lr"]})
             for s, v in enumerate(LUCK)]  # fmt: skip
    found = table(edge, optimizer("far", [0.9 + x for x in LUCK]))
    assert found.rows[0].on_edge
    assert ", at the edge of what was tried, leads on digits: " in verdict(found, "digits", Unit("accuracy"))
