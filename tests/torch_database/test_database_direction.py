"""Every configuration goes downhill, or up with `maximize`: with closures, groups, schedules, sparse gradients."""

import pytest
import torch
from configurations import CONFIGURATIONS, DEFAULTS, Configuration, gradients, laws, parameters, run, toy

STEPS = 20


def descend(configuration: Configuration, params, loss, schedulers=(), loads=False, **more):
    """The loss before and after."""
    optimizer = configuration.build(params, **more)
    schedules = [make(optimizer) for make in schedulers]
    start = loss().item()
    for _ in range(STEPS):
        value = optimizer.step(loss)
        for schedule in schedules:
            metric = isinstance(schedule, torch.optim.lr_scheduler.ReduceLROnPlateau)
            schedule.step(*([value.item()] if metric else []))
    return start, loss().item()


def assert_right_direction(configuration, start, end):
    assert end > start if configuration.settings.get("maximize") else end < start


def ways():
    for configuration in CONFIGURATIONS:
        gaps = configuration.engine != "cpu"  # which refuses them: test_engines.py
        for way in ("plain", "names", "groups", *(["strided"] * gaps)):
            yield pytest.param(configuration, way, id=f"{configuration}-{way}")


@pytest.mark.parametrize(("configuration", "way"), list(ways()))
def test_goes_in_the_right_direction(configuration, way):
    params, loss = toy(configuration, strided=way == "strided")
    given = {
        "names": list(zip(("weight", "bias"), params, strict=True)),
        "groups": [{"params": [params[0]]}, {"params": [params[1]], "weight_decay": 0.0}],
    }.get(way, params)
    assert_right_direction(configuration, *descend(configuration, given, loss))


def schedules():
    for configuration in DEFAULTS:
        for number, each in enumerate(configuration.info.scheduler_inputs):
            for groups in (False, True):
                kind = "groups" if groups else "list"
                yield pytest.param(configuration, each, groups, id=f"{configuration}-{number}-{kind}")


@pytest.mark.parametrize(("configuration", "schedulers", "groups"), list(schedules()))
def test_goes_in_the_right_direction_with_schedules(configuration, schedulers, groups):
    params, loss = toy(configuration)
    given = [{"params": [params[0]], "lr": 0.01}, {"params": [params[1]]}] if groups else params
    assert_right_direction(configuration, *descend(configuration, given, loss, schedulers))


@pytest.mark.parametrize("kind", [float, torch.tensor])
@laws(DEFAULTS)
def test_schedules_move_the_rate_as_in_torch(configuration, kind):
    """A tensor rate is written in place: whoever holds it sees the new value, but where torch's scheduler itself puts a
    number in its place (ReduceLROnPlateau of torch 2.6)."""
    for schedulers in configuration.info.scheduler_inputs:
        rates, kept = [], []
        for build in (configuration.build, configuration.build_torch):
            params = parameters(configuration)
            lr = kind(0.01)
            optimizer = build(params, lr=lr)
            schedules = [make(optimizer) for make in schedulers]
            for values in gradients(params, 12):
                run(configuration, optimizer, [values])
                for schedule in schedules:
                    metric = isinstance(schedule, torch.optim.lr_scheduler.ReduceLROnPlateau)
                    schedule.step(*([1.0] if metric else []))
            now = optimizer.param_groups[0]["lr"]
            rates.append(float(now))
            kept.append(now is lr)
        assert kind is float or kept[0] >= kept[1]
        assert rates[0] == rates[1] != 0.01 or len(schedulers) == 1


def rosenbrock(p):
    x, y = p
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


def slope(p, only=None):
    """The derivatives by hand; `only`: that of one coordinate, with the other left out."""
    x, y = p.detach()
    both = torch.stack([-400 * x * (y - x**2) - 2 * (1 - x), 200 * (y - x**2)])
    return both if only is None else both * torch.tensor([only == 0, only == 1])


def sparsely(gradient, only, halves):
    """One coordinate alone, written in two halves where `halves`: an uncoalesced gradient."""
    value = gradient[only]
    indices, values = [[only] * (2 if halves else 1)], [value / 2, value / 2] if halves else [value]
    return torch.sparse_coo_tensor(indices, values, (2,), check_invariants=True)


SPARSE = [each for each in DEFAULTS if (each.info.supports_sparse or each.info.only_supports_sparse_grads)]


def valley(configuration, halves=False, dense=False, steps=200, maximize=False):
    """How far Rosenbrock's valley is gone down, by one coordinate at a time, from (1.5, 1.5)."""
    settings, schedulers = configuration.info.metadata_for_sparse
    p = torch.nn.Parameter(torch.tensor([1.5, 1.5], dtype=torch.float64))
    start = rosenbrock(p.detach())
    optimizer = configuration.build([p], **{**settings, "maximize": maximize})
    schedules = [make(optimizer) for make in schedulers]
    for step in range(steps):
        g, only = slope(p, step % 2), step % 2
        p.grad = g if dense else sparsely(g, only, halves)
        optimizer.step()
        for schedule in schedules:
            metric = isinstance(schedule, torch.optim.lr_scheduler.ReduceLROnPlateau)
            schedule.step(*([rosenbrock(p.detach())] if metric else []))
    return start - rosenbrock(p.detach())


@laws(SPARSE)
def test_sparse_gradients_lead_down_the_valley_and_up(configuration):
    assert valley(configuration) > 0
    assert valley(configuration, halves=True) > 0
    assert valley(configuration, maximize=True, steps=4) < 0
    if configuration.info.supports_sparse:
        # Halves of a float add up to it: the steps are the same, bit for bit.
        assert valley(configuration, steps=8) == valley(configuration, halves=True, steps=8)
        difference = valley(configuration, steps=8) - valley(configuration, dense=True, steps=8)
        assert abs(difference) < 1e-6 * abs(valley(configuration, steps=8))


OWN_SETTINGS = [
    (each, setting)
    for each in DEFAULTS
    for setting in ("lr", "weight_decay")
    if setting == "lr" or not each.info.only_supports_sparse_grads  # refused: test_sparse.py
]


@pytest.mark.parametrize(("configuration", "setting"), OWN_SETTINGS, ids=str)
def test_a_group_goes_by_its_own_settings(configuration, setting):
    """Two groups with settings apart are two optimizers."""
    values = (0.02, 0.001)
    together, apart = parameters(configuration), parameters(configuration)
    both = configuration.build([{"params": [p], setting: v} for p, v in zip(together, values, strict=False)])
    singles = [configuration.build([p], **{setting: v}) for p, v in zip(apart, values, strict=False)]
    given = [each[:2] for each in gradients(together, STEPS)]
    run(configuration, both, given)
    for index, single in enumerate(singles):
        run(configuration, single, [[values[index]] for values in given])
    assert all(torch.equal(p, q) for p, q in zip(together[:2], apart[:2], strict=True))
    moved = [torch.linalg.vector_norm(p - q) for p, q in zip(together, parameters(configuration), strict=True)]
    assert moved[0] > 0 and moved[1] > 0 and moved[0] != moved[1]
