"""The surfaces, in Python and in V8: slopes are the height's, and paths are the same to the bit."""

import json

import numpy as np
import pytest
import torch
from play.bits import WALK, walked
from play.engine import context, translated

from thalweg.play import race
from thalweg.play.noise import normal
from thalweg.play.scenery import best, javascript
from thalweg.play.surfaces import SURFACES

ENTRIES = translated()


@pytest.fixture(scope="module")
def v8():
    return context([entry.rule for entry in ENTRIES], javascript(), WALK)


@pytest.mark.parametrize("optimizers", [[], {}, "adam"])
def test_a_race_has_racers(optimizers):
    with pytest.raises(ValueError, match="optimizers: "):
        race("saddle", optimizers, 5)


def test_a_schedule_is_counted_from_0():
    found = race("saddle", ["sgd(lr=0.1)"], 4, schedule=lambda step: 0.5**step, precision="float64")
    p = torch.tensor(found.positions[0, 0])
    for step in range(4):
        p = p - 0.1 * 0.5**step * SURFACES["saddle"].slope(p)[1]
        assert np.allclose(found.positions[0, step + 1], p.numpy(), rtol=1e-12)


@pytest.mark.parametrize("surface", SURFACES.values(), ids=lambda surface: surface.name)
def test_the_slopes_are_the_heights(surface):
    place = torch.tensor([[0.3, -0.7], [1.1, 0.4], [-2.2, 1.9]], dtype=torch.float64)[:, : surface.dimension]
    place.requires_grad_()
    steps = range(1, 31 if surface.turns else 2)
    height = surface.slope(place)[0]
    if surface.name == "rastrigin":  # autograd takes its way of rounding to a whole number for a slope
        height = 20 + (place**2 - 10 * torch.cos(2 * torch.pi * place)).sum(-1)
    (theirs,) = torch.autograd.grad(height.sum(), place)
    ours = sum(surface.slope(place.detach(), step)[1] for step in steps) / len(steps)
    assert torch.allclose(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("surface", SURFACES.values(), ids=lambda surface: surface.name)
def test_optima_are_flat_and_lowest(surface):
    for optimum in surface.optima:
        place = torch.tensor(optimum, dtype=torch.float64)
        height, slope = surface.slope(place)
        around = torch.stack([surface.slope(place + 0.01 * torch.randn(surface.dimension))[0] for _ in range(20)])
        if surface.held is None:
            assert slope.abs().max() < 0.03 and (around >= height - 1e-3).all()
        else:
            assert height == 0


def test_rastrigin_has_cosines():
    place = torch.linspace(-5, 5, 400, dtype=torch.float64).reshape(200, 2)
    theirs = 20 + (place**2 - 10 * torch.cos(2 * torch.pi * place)).sum(-1)
    assert torch.allclose(SURFACES["rastrigin"].slope(place)[0], theirs, rtol=1e-12, atol=1e-12)


def test_chance_is_the_same_in_both_and_normal(v8):
    ours = [normal(7, step, place) for step in range(300) for place in range(2)]
    theirs = json.loads(
        v8.eval("JSON.stringify(Array.from({length: 600}, (_, i) => noise(7, Math.floor(i / 2), i % 2)))")
    )
    assert ours == theirs
    many = np.array([normal(seed, step, 0) for seed in range(50) for step in range(200)])
    assert abs(many.mean()) < 0.05 and abs(many.std() - 1) < 0.03 and 2.5 < np.mean(many**4) < 3.3


@pytest.mark.parametrize("surface", SURFACES)
def test_every_surface_is_the_same_in_both(v8, surface):
    settings = {"lr": 0.03}
    constants = {"ravine": {"rotation": 30.0, "condition": 300.0}}.get(surface, {})
    found = race(surface, {"adam": settings}, 200, constants=constants, seed=1, batch=2)
    racers = [{"rule": "adam", "settings": settings}]
    ((positions, losses),) = walked(
        v8, "float32", surface=surface, steps=200, racers=racers, seed=1, batch=2, constants=constants
    )
    assert np.array_equal(positions, found.positions[0].ravel()) and np.array_equal(losses, found.losses[0])


def test_fair_rates_are_there_for_each_surface_and_start():
    """All but one: schedule-free SGD leaves the picture on Rosenbrock's from afar at any two rates side by side."""
    rates = best()
    names = {entry.name for entry in ENTRIES}
    missing = {
        (name, start, rule)
        for name, surface in SURFACES.items()
        for start in surface.starts
        for rule in names - set(rates[name][start])
    }
    assert missing == {("rosenbrock", "far", "schedule_free_sgd")}
    found = [each for starts in rates.values() for own in starts.values() for each in own.values()]
    assert sum("edge" in each for each in found) == 33 and all(np.isfinite(each["value"]) for each in found)


@pytest.mark.parametrize("name", ["saddle", "rosenbrock", "quartic", "rastrigin"])
def test_fair_races_stay_in_the_picture(name):
    found = race(name, ["sgd", "adam", "radam", "momentum", "rmsprop"], 300)
    low, high = np.array(SURFACES[name].domain).T
    low, high = low - (high - low) / 2, high + (high - low) / 2
    assert (found.positions >= low).all() and (found.positions <= high).all()
    assert (found.losses[:, -30:].mean(1) < found.losses[:, 0]).all()


@pytest.mark.parametrize("start", [(float("nan"), 0.0), (0.0, float("inf"))])
def test_a_start_that_is_no_place_is_refused(start):
    with pytest.raises(ValueError, match="start: .* not finite"):
        SURFACES["saddle"].start(start)
