"""What is read of a step and of an output, held to the same numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import thalweg
from thalweg.lens.output import read
from thalweg.lens.pathologies.settings import beta2_too_long
from thalweg.lens.record import Record


def test_labels_of_rows_that_are_sure_are_read_too():
    """A row whose label has a probability of one has no negative part left in its gradient."""
    logits = torch.tensor([[200.0, 0.0, 1.0], [0.0, 150.0, 3.0], [1.0, 2.0, 0.0]], requires_grad=True)
    labels = torch.tensor([0, 2, 1])
    loss = nn.functional.cross_entropy(logits, labels)
    (gradient,) = torch.autograd.grad(loss, logits)
    found = read(logits.detach(), gradient)
    assert found.total == pytest.approx(2 / 3)  # the row that is right by far takes no part
    assert found.counts.tolist() == [0, 1, 1] and found.contradicted == 0.5


def test_what_is_no_cross_entropy_is_not_read():
    logits = torch.randn(4, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(logits.square().mean(), logits)
    assert read(logits.detach(), gradient) is None


def stepped(model, steps=2):
    """The weights before each step and after the last, the gradients, and what lens saw."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    weights, gradients = [], []
    with thalweg.lens(optimizer, model, quiet=True) as seen:
        for number in range(steps):
            optimizer.zero_grad()
            model(torch.randn(8, 2, generator=torch.Generator().manual_seed(number))).square().mean().backward()
            gradients.append([p.grad.clone() for p in model.parameters()])
            weights.append([p.detach().clone() for p in model.parameters()])
            optimizer.step()
    weights.append([p.detach().clone() for p in model.parameters()])
    return seen, weights, gradients


def test_the_old_weights_of_a_model_of_one_tensor_are_a_copy():
    seen, weights, _ = stepped(nn.Linear(2, 3, bias=False))
    (numbers,) = seen.record.tensors[1].values()
    assert numbers.step == pytest.approx(float((weights[1][0] - weights[0][0]).square().sum()), rel=1e-4)
    assert numbers.weight == pytest.approx(float(weights[0][0].square().sum()), rel=1e-4)


def test_many_tensors_are_looked_back_on_by_some():
    torch.manual_seed(0)
    model = nn.Sequential(*(nn.Linear(2, 2, bias=False) for _ in range(40)))
    for layer in model:
        nn.init.orthogonal_(layer.weight)
    seen, weights, gradients = stepped(model)
    step = torch.cat([(after - before).flatten() for before, after in zip(*weights[:2], strict=True)][::2])
    gradient = torch.cat([each.flatten() for each in gradients[1]][::2])
    assert seen.record.look_back[2] == pytest.approx(float(torch.cosine_similarity(step, gradient, 0)), abs=1e-4)
    assert len(seen.record.tensors[2]) == 40


def test_between_watched_steps_no_hook_of_the_passes_is_on():
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    heard = []
    with thalweg.lens(optimizer, model, quiet=True) as seen:
        for _ in range(50):
            model(torch.randn(4, 2)).square().mean().backward()
            heard.append(bool(model._forward_hooks))
            optimizer.step()
            optimizer.zero_grad()
    assert [step for step, on in enumerate(heard, 1) if on] == [*range(1, 33), 40, 48]
    assert list(seen.record.tensors) == [*range(1, 33), 48]


@pytest.mark.parametrize(("before", "after", "found"), [(2.3, 1.5, False), (1.0, 0.8, True), (2.3, 2.6, True)])
def test_gradients_that_grow_as_a_plateau_is_left_are_no_fault_of_beta2(before, after, found):
    energies = {step: 1.0 if step < 60 else 50.0 for step in range(1, 81)}
    losses = {1: 2.3} | {step: before if step < 60 else after for step in range(2, 81)}
    record = Record(settings=[{"betas": (0.9, 0.999)}], steps=80, energies=energies, losses=losses)
    assert (beta2_too_long(record) is not None) is found
