"""What leaves a parameter where it is: no gradient, a gradient of zeros, nothing to step."""

import pytest
import torch
from configurations import (
    CONFIGURATIONS,
    DEFAULTS,
    gradients,
    laws,
    parameters,
    run,
    same,
    snapshot,
    states,
)


@laws(CONFIGURATIONS)
def test_without_gradients_nothing_moves_or_ages(configuration):
    params = parameters(configuration)
    optimizer = configuration.build(params)
    fresh, first = states(optimizer), snapshot(params)
    nothing = [[None] * len(params)] * 2
    run(configuration, optimizer, nothing)
    assert same(params, first)
    assert [state.keys() for state in states(optimizer)] == [state.keys() for state in fresh]
    run(configuration, optimizer, gradients(params, 2))
    assert not any(torch.equal(p, q) for p, q in zip(params, first, strict=True))
    before, kept = snapshot(params), [{k: v for k, v in flat(state).items()} for state in states(optimizer)]
    run(configuration, optimizer, nothing)
    assert same(params, before)
    for old, new in zip(kept, states(optimizer), strict=True):
        assert old.keys() == flat(new).keys() and all(torch.equal(old[k], flat(new)[k]) for k in old)


def flat(state):
    return {name: value.detach().clone() for name, value in state.items() if isinstance(value, torch.Tensor)}


@laws(CONFIGURATIONS)
def test_one_parameter_without_a_gradient_waits(configuration):
    params, others = parameters(configuration), parameters(configuration)
    given = gradients(params, 4)
    run(configuration, configuration.build(params), [[None, *values[1:]] for values in given])
    run(configuration, configuration.build(others[1:]), [values[1:] for values in given])
    assert torch.equal(params[0], others[0]) and same(params[1:], others[1:])


@laws([each for each in CONFIGURATIONS if each.info.name != "ASGD"])
def test_gradients_of_zeros_move_nothing(configuration):
    more = {"weight_decay": 0.0} if "weight_decay" in configuration.build(parameters(configuration)).defaults else {}
    params = parameters(configuration)
    before = snapshot(params)
    optimizer = configuration.build(params, **more)
    run(configuration, optimizer, [[torch.zeros_like(p) for p in params]] * 3)
    assert same(params, before)
    for state in states(optimizer):
        assert all(value == 3 for name, value in state.items() if name == "step")


@laws([each for each in CONFIGURATIONS if each.info.name == "ASGD"])
def test_gradients_of_zeros_shrink_by_asgds_own_decay(configuration):
    """theta_t = (1 - lambd eta_t) theta_{t-1}, with eta_1 the learning rate."""
    params = parameters(configuration)
    before = snapshot(params)
    optimizer = configuration.build(params, weight_decay=0.0)
    run(configuration, optimizer, [[torch.zeros_like(p) for p in params]])
    group = optimizer.param_groups[0]
    for p, old in zip(params, before, strict=True):
        torch.testing.assert_close(p.detach(), old * (1 - group["lambd"] * group["lr"]), rtol=1e-15, atol=0)


@laws(DEFAULTS)
def test_a_frozen_parameter_stays(configuration):
    params = parameters(configuration)
    params[0].requires_grad_(False)
    before = snapshot(params)
    optimizer = configuration.build(params)
    sum((p**2).sum() for p in params[1:]).backward()
    for p in params[1:]:
        p.grad = p.grad.to_sparse() if configuration.info.only_supports_sparse_grads else p.grad
    optimizer.step()
    assert torch.equal(params[0], before[0]) and not torch.equal(params[1], before[1])


@pytest.mark.parametrize("switch", [{"foreach": True}, {}], ids=["foreach", "None"])
@laws(DEFAULTS)
def test_zero_grad_both_ways(configuration, switch):
    params = parameters(configuration)
    optimizer = configuration.build(params, **switch)
    for p in params[:-1]:
        p.grad = torch.ones_like(p)
    held = params[0].grad
    optimizer.zero_grad(set_to_none=False)
    assert params[0].grad is held and not held.any() and params[-1].grad is None
    optimizer.zero_grad()
    assert all(p.grad is None for p in params)


@laws(DEFAULTS)
def test_a_changed_default_switch_changes_nothing(configuration):
    """torch looks into `defaults` for foreach when a group says None; nothing here does but zero_grad."""
    outcomes = []
    for foreach in (None, True, False):
        params = parameters(configuration)
        optimizer = configuration.build(params)
        optimizer.defaults["foreach"] = optimizer.param_groups[0]["foreach"] = foreach
        run(configuration, optimizer, gradients(params, 3))
        optimizer.zero_grad(set_to_none=False)
        outcomes.append(params)
    assert same(outcomes[0], outcomes[1]) and same(outcomes[0], outcomes[2])
