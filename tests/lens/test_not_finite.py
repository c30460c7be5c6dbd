"""The step and the first tensor at which numbers stop being finite, between watched steps too."""

from __future__ import annotations

import math

import pytest
import torch
from lens import planted
from torch import nn

import thalweg
from thalweg.lens.not_finite import Lookout

STEPS = 60


class Root(nn.Module):
    """The root of what is 0 in one batch: its value is finite and its gradient is not."""

    def __init__(self):
        super().__init__()
        self.spoiled = False

    def forward(self, x):
        return x + (x * 0.0).abs().sqrt() if self.spoiled else x


def network():
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), Root(), nn.Linear(32, 32), nn.Linear(32, 10))


def train(spoil, at, model=None, make=torch.optim.Adam, tell=False, inputs=None, **settings):
    """Sixty steps; `spoil` is given the step's model, inputs and, after the backward pass, None as inputs."""
    torch.manual_seed(0)
    model = network() if model is None else model
    optimizer = make(model.parameters(), **{"lr": 1e-3} | settings)
    pixels, labels = planted.data()
    with thalweg.lens(optimizer, model, quiet=True) as seen:
        for step in range(1, STEPS + 1):
            rows = torch.randint(len(labels), (16,))
            batch = pixels[rows].clone() if inputs is None else inputs(rows, step)
            if step == at:
                spoil(model, batch)
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(batch), labels[rows])
            loss.backward()
            if step == at:
                spoil(model, None)
            optimizer.step()
            if tell:
                seen.loss(loss)
    return seen.findings


def of_a_gradient(model, batch):
    if batch is None:
        model[4].weight.grad[3, 3] = math.nan


def of_the_data(model, batch):
    if batch is not None:
        batch[2, 2] = math.inf


def of_a_root(model, batch):
    model[3].spoiled = batch is not None


SPOILED = {
    "a gradient": (of_a_gradient, ("4.weight",)),
    "the data": (of_the_data, ()),
    "a root": (of_a_root, ("2.bias", "2.weight", "0.bias", "0.weight")),
}


@pytest.mark.parametrize("at", [1, 20, 37, 41, 48])
@pytest.mark.parametrize("what", SPOILED)
def test_the_step_and_the_tensors(what, at):
    spoil, names = SPOILED[what]
    (finding,) = train(spoil, at)
    assert (finding.name, finding.step) == ("not_finite", at)
    if names:
        assert sorted(finding.where) == sorted(names) and finding.where[0] in names[:2]
    else:
        assert len(finding.where) == 8 and "gradients of all 8" in str(finding)


def test_what_has_happened_before_is_still_told():
    """What is wrong from the start is found; what a spoiled end looks like is not."""
    assert [finding.name for finding in train(of_the_data, 57, lr=0.5)] == ["lr_too_high", "not_finite"]


@pytest.mark.filterwarnings("error")
def test_a_run_that_diverges_is_no_warning():
    found = train(lambda *given: None, 0, make=torch.optim.SGD, lr=1e8)
    assert [finding.name for finding in found][:2] == ["lr_too_high", "not_finite"]


def test_a_loss_that_is_finite_tells_where_to_look():
    (finding,) = train(of_a_root, 41, nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10), Root()), tell=True)
    assert finding.step == 41 and "although the loss was finite" in str(finding)


def test_a_loss_that_is_told_is_used():
    model = planted.mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
    pixels, labels = planted.data()
    with thalweg.lens(optimizer, model, quiet=True) as seen:
        for step in range(1, 51):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(pixels[:32]), labels[:32]).backward()
            optimizer.step()
            seen.loss(math.nan if step == 5 else 1.0)
    finding, other = seen.findings
    assert (finding.name, finding.step) == ("not_finite", 5) and "loss that was told" in str(finding)
    assert other.name == "lr_too_low"  # the gradients after it are finite, and say what they say
    assert all(map(math.isfinite, seen.record.losses.values()))


def test_a_row_that_no_batch_reads_does_not_spread_at_once():
    """Of an embedding the step is known between two that were watched alone."""

    def model():
        return nn.Sequential(nn.Embedding(600, 16), nn.Flatten(), nn.Linear(16, 10))

    def spoil(model, batch):
        if batch is None:
            model[0].weight.grad[599, 1] = math.nan

    def inputs(rows, step):
        return rows[:, None] % 599 if step != 45 else torch.full((16, 1), 599)

    (finding,) = train(spoil, 41, model(), torch.optim.SGD, inputs=inputs)
    assert finding.name == "not_finite" and finding.where == ("0.weight",) and finding.step is None
    since, last = finding.facts["since"], finding.facts["last"]
    assert since <= 41 <= last and f"Between steps {since} and {last}" in str(finding)


def test_weights_that_are_spoiled_at_the_start():
    model = network()
    with torch.no_grad():
        model[2].bias[1] = math.nan
    (finding,) = train(lambda *given: None, 0, model)
    assert finding.where == ("2.bias",) and "before the first step" in str(finding)


def test_sums_that_wait_on_a_device_tell_the_step():
    param = nn.Parameter(torch.ones(3))
    lookout = Lookout([param], ["w"])
    lookout.settle(32, [], 1)
    lookout.waiting = [(step, torch.tensor(math.nan if step >= 41 else 1.0)) for step in range(33, 49)]
    lookout.settle(48, ["w"], 1)
    assert (lookout.found.step, lookout.found.since) == (41, 40)
    late = Lookout([param], ["w"])
    late.settle(32, [], 1)
    late.waiting = [(33, torch.tensor(math.inf)), (34, torch.tensor(math.nan))]
    late.settle(48, ["w"], 1)
    assert (late.found.step, late.found.since, late.found.text) == (33, 33, "unwatched")


def test_a_sum_that_is_too_large_alone_is_none():
    param = nn.Parameter(torch.ones(4))
    param.grad = torch.full((4,), 3e38)
    lookout = Lookout([param], ["w"])
    lookout.see(1)
    assert lookout.found is None


def test_later_passes_are_as_quick_as_without():
    """A parameter that had a hook once, even one that was taken off, is slower in every backward pass."""
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    with thalweg.lens(optimizer, model, quiet=True) as seen:
        nn.functional.cross_entropy(model(torch.ones(4, 64)), torch.arange(4)).backward()
        optimizer.step()
    assert sorted(seen.lookout.arrived) == [*range(8)] and set(list(seen.lookout.arrived)[:2]) == {6, 7}
    hooked = [p for p in model.parameters() if p._post_accumulate_grad_hooks is not None or p._backward_hooks]
    assert len(hooked) <= 1  # the one at which gradients are seen to add up
