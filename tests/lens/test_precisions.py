"""Gradient scalers, bfloat16, small state, closures: lens sees the true gradient, and changes no bit."""

from __future__ import annotations

import pytest
import torch
from lens import planted

import thalweg


def scaled_run(make, watch, overflow=False):
    torch.manual_seed(0)
    model = planted.mlp()
    optimizer = make(model.parameters(), lr=1e-3)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    seen = thalweg.lens(optimizer, model, quiet=True)
    if watch:
        seen.__enter__()
    pixels, labels = planted.data()
    for step, rows in enumerate(torch.randint(len(labels), (12, 32))):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(pixels[rows]), labels[rows])
        scaler.scale(loss * (torch.inf if overflow and step == 3 else 1.0)).backward()
        scaler.step(optimizer)
        scaler.update()
    seen.close()
    return model, seen


MAKERS = {
    "torch": torch.optim.Adam,
    "torch fused": lambda params, lr: torch.optim.Adam(params, lr=lr, fused=True),
    "thalweg": thalweg.optim.Adam,
}


@pytest.mark.parametrize("maker", MAKERS)
def test_under_a_gradient_scaler(maker):
    (model, seen), (plain, _) = (scaled_run(MAKERS[maker], watch) for watch in (True, False))
    assert all(map(torch.equal, model.parameters(), plain.parameters()))
    assert seen.record.sum(1, "gradient") ** 0.5 < 3.0  # scaled, it would be 1,024 times that
    assert seen.findings == []


@pytest.mark.parametrize("maker", MAKERS)
def test_a_step_that_the_scaler_leaves_out_is_none(maker):
    seen = scaled_run(MAKERS[maker], True, overflow=True)[1]
    assert seen.record.steps == 11 and seen.findings == []


@pytest.mark.parametrize("make", [torch.optim.AdamW, thalweg.optim.AdamW])
def test_under_autocast_in_bfloat16(make):
    models = []
    for watch in (True, False):
        torch.manual_seed(0)
        model = planted.mlp()
        optimizer = make(model.parameters(), lr=1e-2)
        seen = thalweg.lens(optimizer, model, quiet=True)
        if watch:
            seen.__enter__()
            watched = seen
        pixels, labels = planted.data()
        for rows in torch.randint(len(labels), (60, 64)):
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = torch.nn.functional.cross_entropy(model(pixels[rows]), labels[rows])
            loss.backward()
            optimizer.step()
        seen.close()
        models.append(model)
    assert all(map(torch.equal, models[0].parameters(), models[1].parameters()))
    assert watched.findings == []


def test_a_closure_is_watched_after_its_first_call():
    def train(watch):
        torch.manual_seed(0)
        model = planted.mlp()
        optimizer = torch.optim.LBFGS(model.parameters(), max_iter=3)
        seen = thalweg.lens(optimizer, model, quiet=True)
        if watch:
            seen.__enter__()
        pixels, labels = planted.data()

        def closure():
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(pixels[:256]), labels[:256])
            loss.backward()
            return loss

        for _ in range(4):
            optimizer.step(closure)
        seen.close()
        return model, seen

    (model, seen), (plain, _) = train(True), train(False)
    assert all(map(torch.equal, model.parameters(), plain.parameters()))
    assert len(seen.record.tensors) == 4 and all(len(row) == 6 for row in seen.record.tensors.values())
    assert all(each.step > 0 for row in seen.record.tensors.values() for each in row.values())


def test_numbers_of_a_large_model_are_estimated_from_a_grid():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(600, 600), torch.nn.ReLU(), torch.nn.Linear(600, 600))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before = [p.detach().clone() for p in model.parameters()]
    with thalweg.lens(optimizer, model, quiet=True) as seen:
        model(torch.randn(64, 600)).square().mean().backward()
        optimizer.step()
    row = seen.record.tensors[1]
    assert sum(seen.reader.sample.counts) < 150_000 < sum(seen.reader.sample.sizes)
    for (name, p), old in zip(model.named_parameters(), before, strict=True):
        assert row[name].gradient == pytest.approx(float(p.grad.double().square().sum()), rel=1e-4)
        assert row[name].weight == pytest.approx(float(old.double().square().sum()), rel=0.1)
        assert row[name].step == pytest.approx(float((p.detach() - old).double().square().sum()), rel=0.1)
        assert row[name].size == p.numel()


def test_logs_are_taken_by_what_they_are(tmp_path):
    class Writer:
        def add_scalar(self, name, number, step):
            seen.append(("writer", name, step))

    class Run:
        def log(self, numbers, step):
            seen.append(("run", *numbers, step))

    from thalweg.lens.log import logger

    seen = []
    for log in (Writer(), Run(), lambda numbers, step: seen.append(("function", *numbers, step))):
        logger(log)({"lens/x": 1.0}, 7)
    assert seen == [("writer", "lens/x", 7), ("run", "lens/x", 7), ("function", "lens/x", 7)]
    with pytest.raises(ValueError, match="log: got a int"):
        logger(3)


def test_a_line_in_the_terminal(capsys):
    model = planted.mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    pixels, labels = planted.data()
    with thalweg.lens(optimizer, model, live=True):
        torch.nn.functional.cross_entropy(model(pixels[:32]), labels[:32]).backward()
        optimizer.step()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("lens, step 1, loss 2.") and "update/weight" in lines[0]


def test_the_page_of_a_deep_model_is_at_most_a_megabyte(tmp_path):
    names = [f"blocks.{number}.attention.projection.of.a.rather.long.name.weight" for number in range(400)]
    from thalweg.lens.page import of_run
    from thalweg.lens.record import Record
    from thalweg.lens.tensor_step import TensorStep

    row = {name: TensorStep(9, 1.0, 1.0, 0.5, -0.1, 1.0, 0.3, 0.2, 0.1, 0) for name in names}
    text = of_run(Record(steps=9_000, tensors=dict.fromkeys(range(1, 301), row)), [])
    assert 100_000 < len(text.encode()) <= 1_000_000
    assert "blocks.0." in text and "blocks.38" in text  # over the whole depth
