"""Advice is tried: from a snapshot, on the same batches, with a paired interval; the run itself stays as it is."""

from __future__ import annotations

import copy

import pytest
import torch
from lens import planted

import thalweg
from thalweg.lens.finding import Evidence, Finding
from thalweg.lens.tried import CHANGES, Tried, tried


def loss(model, batch):
    return torch.nn.functional.cross_entropy(model(batch[0]), batch[1])


def batches(count=12):
    pixels, labels = planted.data()
    draw = torch.Generator().manual_seed(0)
    rows = [torch.randint(len(labels), (32,), generator=draw) for _ in range(count)]
    return [(pixels[each], labels[each]) for each in rows]


def run(steps=60, **settings):
    torch.manual_seed(0)
    model = planted.mlp()
    optimizer = settings.pop("make", torch.optim.Adam)(model.parameters(), lr=settings.pop("lr", 3e-5))
    with thalweg.lens(optimizer, model, quiet=True, **settings) as seen:
        for batch in (batches() * steps)[:steps]:
            optimizer.zero_grad()
            loss(model, batch).backward()
            optimizer.step()
    return seen


@pytest.mark.parametrize("make", [torch.optim.Adam, thalweg.optim.Adam])
def test_a_rate_that_is_too_low_is_raised_and_that_helps(make):
    seen = run(make=make)
    before = copy.deepcopy([*seen.model.parameters()])
    (finding,) = seen.tried(loss, batches(), steps=30, repeats=3)
    assert finding.name == "lr_too_low" and finding.tried.change == "lr x 10"
    assert finding.tried.helps and finding.tried.difference < -0.02 and 0 < finding.tried.margin < 0.02
    assert "Tried: lr x 10 lowers the loss by 0." in str(finding) and "已试" in finding.tell("zh")
    assert all(map(torch.equal, before, seen.model.parameters()))
    assert [str(each) for each in seen.findings] == [str(finding)]  # what was tried is not forgotten


def test_a_rate_that_is_too_high_is_tried_from_the_start():
    seen = run(lr=0.5, snapshot=True)
    finding = next(each for each in seen.tried(loss, batches(), steps=30, repeats=3) if each.name == "lr_too_high")
    assert finding.tried.helps and finding.tried.change in ("lr / 10", "lr / 100")


def test_advice_that_does_not_help_is_said_to_do_nothing_or_harm():
    seen = run(lr=3e-3)
    wrong = Finding("lr_too_low", Evidence.RULE_OF_THUMB, {"cosine": 0.0, "steps": 1, "lr": 1.0, "better": 3.0})
    harmful = Finding("lr_too_high", Evidence.RULE_OF_THUMB, {"loss": 1, "best": 1, "floor": 1, "lr": 1, "better": 1})
    low, high = tried([wrong, harmful], seen.model, seen.optimizer, loss, batches(), steps=20, repeats=3)
    assert not high.tried.helps and "lowers" not in str(high)
    assert low.tried.steps == 20


def test_the_random_state_of_the_caller_stays():
    seen = run()
    torch.manual_seed(5)
    seen.tried(loss, batches(), steps=2, repeats=3)
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(1))


def test_sentences_of_what_was_tried():
    def told(difference, margin):
        return str(Finding("zero_grad_forgotten", Evidence.PROOF, tried=Tried("lr x 3", difference, margin, 9)))

    assert "lowers the loss by 0.4 +/- 0.1" in told(-0.4, 0.1) and "no difference" in told(-0.1, 0.4)
    assert "raises the loss" in told(0.4, 0.1) and "not finite" in told(float("inf"), 0.0)
    assert "stays finite" in told(float("-inf"), 0.0)


def test_what_is_asked_for_is_checked():
    seen = run()
    for given, message in [({"steps": 0}, "steps: got 0"), ({"repeats": 2}, "repeats: got 2")]:
        with pytest.raises(ValueError, match=message):
            seen.tried(loss, batches(), **given)
    with pytest.raises(ValueError, match="batches: got 3"):
        seen.tried(loss, batches(3))


@pytest.mark.parametrize(
    "change", {c.name: c for changes in CHANGES.values() for c in changes}.values(), ids=lambda change: change.name
)
def test_every_change_runs(change):
    model = planted.Residual()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, eps=1e-2, weight_decay=0.1)

    def settings():
        return [{**group, "params": len(group["params"])} for group in optimizer.param_groups]

    before = settings()
    change.settings(model, optimizer)
    assert (settings() != before) is not bool(change.warm or change.clip)
    assert sum(group["params"] for group in settings()) == sum(group["params"] for group in before)
