"""A cause is told, and not what follows from it."""

import random

import pytest
import torch
from lens import planted

import thalweg
from thalweg.lens.finding import Evidence
from thalweg.lens.pathologies import diagnose
from thalweg.lens.preflight import preflight
from thalweg.lens.record import Record


def found(plan, steps=120, model=planted.mlp):
    return planted.run(plan, model, 0, steps)[3].findings


def adam(**more):
    return {"lr": 3e-3} | more


def test_where_a_schedule_has_ended_steps_are_not_said_to_be_lost():
    findings = found(planted.Plan(settings=adam(), factor=lambda step: 0.1 ** (step // 10)))
    assert [each.name for each in findings] == ["schedule_over"]


def test_a_rate_that_still_falls_may_be_meant_so():
    [finding] = found(planted.Plan(settings=adam(), factor=lambda step: 0.92**step))
    assert finding.name == "schedule_over" and finding.evidence is Evidence.RULE_OF_THUMB


def test_large_inputs_explain_a_loss_that_begins_high():
    findings = found(planted.Plan(inputs=lambda pixels: 100 * pixels + 500))
    assert [each.name for each in findings] == ["inputs_not_normalized"]


def test_decay_that_forgets_is_no_matter_of_norms():
    plan = planted.Plan(make=torch.optim.AdamW, settings=adam(lr=1e-2, weight_decay=20.0))
    [finding] = found(plan)
    assert finding.name == "decay_too_strong" and "takes 20% of every weight at each step" in str(finding)


@pytest.mark.parametrize("settings", [{"lr": 0.1, "weight_decay": 5e-4}, {"lr": 1e-3, "weight_decay": 10.0}])
def test_a_usual_decay_is_none_of_these(settings):
    make = torch.optim.SGD if settings["lr"] == 0.1 else torch.optim.AdamW
    assert "decay_too_strong" not in [each.name for each in found(planted.Plan(make=make, settings=settings), 60)]


def test_a_list_of_findings_reads_as_sentences():
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    findings = thalweg.lens.preflight(model, torch.optim.Adam(model[0].parameters()))
    assert "Change: " in repr(findings) and "Finding(" not in repr(findings)
    assert preflight is thalweg.lens.preflight


@pytest.mark.parametrize(("noise", "names"), [(0.12, ["lr_too_high"]), (1.0, [])])
def test_a_loss_rises_where_it_rises_by_more_than_noise(noise, names):
    draw, record = random.Random(0), Record(steps=200, rates=[0.1] * 200, tensors={1: {}})
    level = {step: 2.0 if step <= 10 else 0.6 if step <= 160 else 1.25 for step in range(1, 201)}
    record.losses = {step: value + noise * draw.uniform(-1, 1) for step, value in level.items()}
    assert [each.name for each in diagnose(record)] == names
