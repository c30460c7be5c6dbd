"""What lens says to wrong arguments and files, and what it writes where nothing is wrong."""

from __future__ import annotations

import math

import pytest
import torch
from lens import digits, planted
from torch import nn
from typer.testing import CliRunner

import thalweg
from thalweg.lab.cli.commands import app
from thalweg.lens.finding import MOST, Evidence, Finding
from thalweg.lens.pathologies import NOT_AFTER, diagnose
from thalweg.lens.record import Record


def pair():
    model = nn.Linear(4, 3)
    return torch.optim.Adam(model.parameters()), model


def test_what_is_no_optimizer_or_no_model():
    optimizer, model = pair()
    for given, message in [
        ((model, optimizer), "optimizer: got a Linear; must be a torch.optim.Optimizer; lens(optimizer, model): "),
        ((optimizer, None), "model: got None; must be an nn.Module"),
        ((optimizer, [model]), "model: got a list; must be an nn.Module"),
        ((None, model), "optimizer: got a NoneType; must be a torch.optim.Optimizer"),
    ]:
        with pytest.raises(ValueError) as error:
            thalweg.lens(*given)
        assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            lambda o, m: (o, m),
            "optimizer: got a Linear; must be a torch.optim.Optimizer; preflight(model, optimizer): ",
        ),
        (lambda o, m: (m, o, 1.5), "steps: got 1.5; must be a whole number"),
        (lambda o, m: (m, o, 10, 3), "schedule: got a int; must be a function of the step"),
    ],
)
def test_what_preflight_cannot_take(given, message):
    with pytest.raises(ValueError) as error:
        thalweg.lens.preflight(*given(*pair()))
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((3, [0] * 4), "loss: got 3; must be a function"),
        ((max, iter([])), "batches: got a list_iterator; must be a list"),
    ],
)
def test_what_cannot_be_tried(given, message):
    optimizer, model = pair()
    with thalweg.lens(optimizer, model, quiet=True) as seen, pytest.raises(ValueError) as error:
        seen.tried(*given)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(("value", "got"), [(None, "None"), ("x", "'x'"), (torch.ones(2), "a tensor of shape (2,)")])
def test_what_is_no_loss(value, got):
    with pytest.raises(ValueError) as error:
        thalweg.lens(*pair()).loss(value)
    assert str(error.value) == f"loss: got {got}; must be one number, or a tensor of one element"


def test_a_folder_is_no_page(tmp_path):
    with pytest.raises(ValueError, match=r"path: .* is a folder; must be a file's name"):
        thalweg.lens(*pair()).report(tmp_path)


def test_the_page_speaks_one_language(tmp_path):
    seen = thalweg.lens(*pair(), language="zh")
    text = seen.report(tmp_path / "lens.html").read_text(encoding="utf-8")
    assert "梯度的平方和" in text and "损失" in text
    for english in ("steps", "Loss", "gradient", "share", "No loss"):
        assert english not in text.split("</style>")[1]


def lens(*words):
    done = CliRunner().invoke(app, ["lens", *map(str, words)])
    return done.exit_code, " ".join(done.output.split())


def state(tmp_path, *, half=False, fault=None):
    model, optimizer = digits.train("bf16" if half else fault, steps=20)
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")
    torch.save(model.state_dict(), tmp_path / "model.pt")
    return tmp_path / "optimizer.pt", tmp_path / "model.pt"


def test_files_that_hold_nothing(tmp_path):
    (tmp_path / "empty.pt").touch()
    (tmp_path / "text.pt").write_text("some text")
    (tmp_path / "rubbish.pt").write_bytes(b"\x80\x02e101")
    saved, _ = state(tmp_path)
    for name, message in [
        ("empty.pt", "empty.pt is empty; must be a state_dict of an optimizer"),
        ("text.pt", "text.pt is not a file of torch.save; must be"),
        ("rubbish.pt", "rubbish.pt is"),
    ]:
        code, said = lens(tmp_path / name)
        assert code == 2 and message in said and "checkpoint:" in said and "Error" not in said
        code, said = lens(saved, "--model", tmp_path / name)
        assert code == 2 and "model:" in said and "checkpoint:" not in said


def test_weights_that_are_not_there(tmp_path):
    saved, _ = state(tmp_path)
    assert "model: no file none.pt" in lens(saved, "--model", "none.pt")[1]
    assert "is a folder; must be a file" in lens(saved, "--model", tmp_path)[1]


def test_half_precision_without_weights_asks_for_them(tmp_path):
    saved, weights = state(tmp_path, half=True)
    assert "with --model WEIGHTS.pt it is seen whether steps are lost to rounding" in lens(saved)[1]
    assert "--model" not in lens(saved, "--model", weights)[1]
    assert "--model" not in lens(state(tmp_path)[0])[1]


@pytest.mark.parametrize("fault", [None, "eps"])
def test_a_checkpoint_has_a_page_too(tmp_path, fault):
    page = tmp_path / "a.html"
    code, said = lens(state(tmp_path, fault=fault)[0], "--out", page)
    assert code == 0 and str(page) in said
    text = page.read_text(encoding="utf-8")
    assert "optimizer.pt" in text and ("Nothing wrong was found." if fault is None else "eps = 1 is larger") in text
    code, said = lens(state(tmp_path)[0], "--out", tmp_path)
    assert code == 2 and "--out:" in said and "is a folder" in said


@pytest.mark.parametrize(
    ("share", "told"), [(0.0, "(0.0% of"), (1e-6, "(< 0.1% of"), (0.0007, "(0.1% of"), (0.25, "(25.0% of")]
)
def test_a_small_share_is_not_none(share, told):
    finding = Finding("no_group", Evidence.PROOF, {"count": 1, "share": share, "name": "Adam"})
    assert told in str(finding)


def test_a_run_is_resumed_where_the_optimizer_has_stepped():
    for make in (torch.optim.Adam, torch.optim.Adagrad, thalweg.optim.Adam, torch.optim.LBFGS):
        model = nn.Linear(4, 3)
        optimizer = make(model.parameters())
        for resumed in (False, True):
            with thalweg.lens(optimizer, model, quiet=True) as seen:
                assert seen.record.resumed is resumed
            model(torch.ones(2, 4)).sum().backward()
            optimizer.step(lambda: torch.tensor(1.0))


def test_at_most_three_are_found():
    """A run with everything wrong: sorted, summed, without zero_grad, at far too high a rate."""
    plan = planted.Plan(settings={"lr": 0.5, "betas": (0.9, 0.5)}, zero=False, order="sorted", loss=planted.summed)
    seen = planted.run(plan, planted.mlp, 0, steps=80)[3]
    assert len(seen.findings) == MOST
    assert diagnose(Record()) == []


def test_a_rate_is_not_both_too_high_and_too_low():
    assert "lr_too_low" in NOT_AFTER["lr_too_high"] and "lr_too_high" in NOT_AFTER["lr_too_low"]
    torch.manual_seed(0)
    record = thalweg.lens(*pair()).record
    record.steps, record.rates = 60, [0.1] * 60
    record.tensors = {step: {} for step in range(1, 61)}
    record.look_back = dict.fromkeys(range(1, 61), -0.9)
    record.losses = {step: 1.0 if step < 40 else 5.0 for step in range(1, 61)}
    assert [each.name for each in diagnose(record)] == ["lr_too_high"]


@pytest.mark.parametrize(("passes", "advice"), [(1, "reduction='mean'"), (4, "(loss / 4).backward()")])
def test_what_is_divided_by_one_is_not_advised(passes, advice):
    plan = planted.Plan(passes=passes, loss=planted.summed if passes == 1 else nn.functional.cross_entropy)
    (finding,) = planted.run(plan, planted.mlp, 0, steps=30)[3].findings
    assert finding.name == "loss_not_divided" and f"Change: {advice}" in str(finding) and "/ 1)" not in str(finding)


def test_a_loss_that_is_no_number_is_no_point_of_the_curve():
    seen = thalweg.lens(*pair())
    seen.loss(math.nan)
    seen.loss(2)
    assert seen.record.losses == {1: 2.0}
