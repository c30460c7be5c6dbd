"""A step is in the precision of its rule, whatever autocast says of the operations around it."""

import pytest
import torch
from subjects import DEVICE, FAST, PLAIN, give

import thalweg.optim as optim


def outcome(subject, engine, dtype, cast, **settings):
    """Where three steps lead, and the states that they leave."""
    params = [
        torch.nn.Parameter(torch.linspace(-1, 2, 40).view(8, 5).to(dtype)),
        torch.nn.Parameter(torch.ones(3).to(dtype)),
    ]
    with torch.autocast(DEVICE.type, torch.bfloat16, enabled=cast):
        optimizer = subject.build(params, engine=engine, **settings)
        for step in range(3):
            generator = torch.Generator().manual_seed(step)
            drawn = [torch.randn(p.shape, generator=generator).to(dtype) for p in params]
            for p, g in zip(params, drawn, strict=True):
                give(optimizer, p, g)
            optimizer.step()
    held = [value for state in optimizer.state.values() for value in state.values() if isinstance(value, torch.Tensor)]
    return [*(p.detach() for p in params), *held]


@pytest.mark.parametrize(
    ("subject", "engine", "dtype"),
    [
        *[(subject, "reference", dtype) for subject in PLAIN for dtype in (torch.float32, torch.bfloat16)],
        # A kernel knows nothing of autocast; what prepares its numbers does not ask for the dtype.
        *[(subject, FAST, torch.float32) for subject in PLAIN],
    ],
    ids=str,
)
def test_a_step_under_autocast_is_the_same_step(subject, engine, dtype):
    cast, plain = (outcome(subject, engine, dtype, cast) for cast in (True, False))
    assert len(cast) == len(plain) and all(map(torch.equal, cast, plain))


@pytest.mark.parametrize("settings", [{"clip_norm": 0.5}, {"cautious": True}, {"state_dtype": "int8"}], ids=str)
@pytest.mark.parametrize("engine", ["reference", "auto"])
def test_and_so_is_what_stands_around_the_rules(settings, engine):
    [adam] = [subject for subject in PLAIN if subject.entry.name == "adam"]
    cast, plain = (outcome(adam, engine, torch.float32, cast, **settings) for cast in (True, False))
    assert all(map(torch.equal, cast, plain))


@pytest.mark.parametrize("kind", [optim.SOAP, optim.Shampoo])
def test_autocast_is_as_it_was_after_a_step(kind):
    p = torch.nn.Parameter(torch.ones(4, 3))
    p.grad = torch.ones(4, 3)
    with torch.autocast(DEVICE.type, torch.bfloat16):
        kind([p]).step()
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
