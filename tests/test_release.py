"""Steps inside the backward pass: the same result, and no gradient left."""

import gc

import pytest
import torch

import thalweg.optim as optim


def train(release, name="Adam", steps=6):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.Tanh(), torch.nn.Linear(8, 8), torch.nn.Linear(8, 1))
    model[2].weight = torch.nn.Parameter(model[2].weight.detach().to(torch.float32))
    optimizer = getattr(optim, name)(model.parameters(), lr=0.05)
    scheduler = optim.lr_scheduler.StepLR(optimizer, 2, 0.5)
    if release:
        optim.release_gradients(model, optimizer)
    x = torch.randn(16, 5)
    for _ in range(steps):
        optimizer.zero_grad()
        (model(x) ** 2).mean().backward()
        if release:
            assert all(p.grad is None for p in model.parameters())
        optimizer.step()
        scheduler.step()
    return model, optimizer


@pytest.mark.parametrize("name", ["SGD", "Adam", "RAdam", "Adagrad", "LAMB"])
def test_it_is_stepping_at_the_end_bit_for_bit(name):
    if not hasattr(optim, name):
        pytest.skip("not in this version")
    (a, mine), (b, other) = train(True, name), train(False, name)
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        assert torch.equal(p, q)
        assert mine.state[p].keys() == other.state[q].keys()
        assert all(torch.equal(mine.state[p][key], other.state[q][key]) for key in mine.state[p])


def test_random_bits_are_the_same_either_way():
    outcome = []
    for release in (True, False):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.Linear(8, 1)).to(torch.bfloat16)
        optimizer = optim.SGD(model.parameters(), lr=1e-3)
        if release:
            optim.release_gradients(model, optimizer)
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.ones(4, 5, dtype=torch.bfloat16)).sum().backward()
            optimizer.step()
        outcome.append(list(model.parameters()))
    assert all(torch.equal(p, q) for p, q in zip(*outcome, strict=True))


def test_one_gradient_is_alive_at_a_time():
    """Counted as each arrives: the gradients of the layers behind are gone."""
    width, alive = 64, []
    model = torch.nn.Sequential(*[torch.nn.Linear(width, width, bias=False) for _ in range(6)])
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    def count(_):
        gc.collect()
        alive.append(sum(p.grad is not None for p in model.parameters()))

    for p in model.parameters():
        p.register_post_accumulate_grad_hook(count)
    with optim.release_gradients(model, optimizer):
        model(torch.ones(2, width)).sum().backward()
    assert alive == [1] * 6
    model(torch.ones(2, width)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_switching_between_the_two_ways_keeps_the_ages():
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    optimizer = optim.Adam(model.parameters())
    for step in range(4):
        if step % 2:
            with optim.release_gradients(model, optimizer):
                model(torch.ones(1, 3)).sum().backward()
        else:
            optimizer.zero_grad()
            model(torch.ones(1, 3)).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
    assert {optimizer.state[p]["step"].item() for p in model.parameters()} == {4.0}


def test_what_needs_all_gradients_is_refused():
    model = torch.nn.Linear(2, 1)
    with pytest.raises(ValueError, match=r"clip_norm=1\.0 .* allowed are None"):
        optim.release_gradients(model, optim.Adam(model.parameters(), clip_norm=1.0))
    with pytest.raises(TypeError, match=r"is not of thalweg\.optim"):
        optim.release_gradients(model, torch.optim.Adam(model.parameters()))
