"""Optimizers stepped together are, to the bit, each stepped alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import thalweg.optim as optim
from thalweg.catalogue import CATALOGUE
from thalweg.optimizers.stacked import Together, can_join

LANES, STEPS = 5, 4
SHAPES = [(3, 4), (7,), ()]


def build(name, place, engine, **settings):
    entry = CATALOGUE[name]
    generator = torch.Generator().manual_seed(place)
    params = [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]
    return entry.build(params, lr=0.01 * (place + 1), engine=engine, **settings)


def params_of(optimizer):
    return [p for group in optimizer.param_groups for p in group["params"]]


def stacks(step, missing=()):
    generator = torch.Generator().manual_seed(100 + step)
    made = [torch.randn(LANES, *shape, generator=generator) for shape in SHAPES]
    return [None if place in missing else g for place, g in enumerate(made)]


JOINING = [
    name
    for name, entry in CATALOGUE.items()
    if entry.takes_dense and entry.takes_all and can_join(entry.build([torch.nn.Parameter(torch.ones(2))]))
]


def test_which_can_join():
    assert {"prodigy", "adahessian"}.isdisjoint(JOINING) and len(JOINING) > 25
    assert not can_join(torch.optim.Adam([torch.ones(1)]))
    assert not can_join(optim.Adam([torch.ones(1)], clip_norm=1.0))
    hooked = optim.Adam([torch.ones(1)])
    hooked.register_step_post_hook(lambda *_: None)
    assert not can_join(hooked)


@pytest.mark.parametrize("engine", ["cpu", "reference"])
@pytest.mark.parametrize("name", JOINING)
def test_together_is_alone(name, engine):
    """Also where a gradient comes late, a step count differs, and a setting changes in between."""
    alone = [build(name, place, engine) for place in range(LANES)]
    joined = [build(name, place, engine) for place in range(LANES)]
    together = Together(joined)
    which, lane = np.arange(LANES * len(SHAPES)) % len(SHAPES), np.arange(LANES * len(SHAPES)) // len(SHAPES)
    for step in range(STEPS):
        given = stacks(step, missing=(1,) if step == 0 else ())
        if step == 2:
            for each in (alone[1], joined[1]):
                each.param_groups[0]["lr"] *= 3
        for place, optimizer in enumerate(alone):
            for p, g in zip(params_of(optimizer), given, strict=True):
                p.grad = None if g is None else g[place].clone()
            optimizer.step()
        together.step_stacked(given, which, lane, settled=step < 2)
    for one, other in zip(alone, joined, strict=True):
        for p, q in zip(params_of(one), params_of(other), strict=True):
            assert torch.equal(p, q)
            assert one.state[p].keys() == other.state[q].keys()
            assert all(
                torch.equal(torch.as_tensor(one.state[p][key]), torch.as_tensor(other.state[q][key]))
                for key in one.state[p]
            )


def test_a_changed_switch_changes_the_kernel():
    """Decay switched on in between is noticed where settings may change."""
    [one], [other] = [build("adam", 0, "cpu")], [build("adam", 0, "cpu")]
    together = Together([other])
    which, lane = np.arange(len(SHAPES)), np.zeros(len(SHAPES), dtype=np.int64)
    for step in range(STEPS):
        for each in (one, other):
            each.param_groups[0]["weight_decay"] = 0.1 if step >= 2 else 0.0
        given = [g[:1] for g in stacks(step)]
        for p, g in zip(params_of(one), given, strict=True):
            p.grad = g[0].clone()
        one.step()
        together.step_stacked(given, which, lane, settled=False)
    assert all(torch.equal(p, q) for p, q in zip(params_of(one), params_of(other), strict=True))


def test_schedulers_see_steps(recwarn):
    one = build("adam", 0, "cpu")
    scheduler = torch.optim.lr_scheduler.ExponentialLR(one, 0.5)
    together = Together([one])
    together.step([torch.ones(shape) for shape in SHAPES])
    scheduler.step()
    assert [str(w.message) for w in recwarn] == [] and one.param_groups[0]["lr"] == 0.005


def test_one_engine_for_all():
    with pytest.raises(ValueError, match="must be of one"):
        Together([build("adam", 0, "cpu"), build("adam", 1, "reference")])
