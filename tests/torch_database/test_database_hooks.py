"""Hooks around the step, around saving and around loading; the profiler's ranges; how an optimizer prints."""

import pytest
import torch
from configurations import DEFAULTS, gradients, laws, parameters, run, same
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

ONCE = [each for each in DEFAULTS if each.engine != "cpu"]  # the face's doing, whatever the engine


@laws(ONCE)
def test_hooks_run_in_torchs_order_and_can_be_taken_away(configuration):
    heard = []
    params = parameters(configuration)
    optimizer = configuration.build(params)
    before = [p.detach().clone() for p in params]

    def note(word):
        def hook(seen, args, kwargs):
            assert seen is optimizer
            heard.append((word, same(params, before)))

        return hook

    handles = [
        optimizer.register_step_post_hook(note("post")),
        register_optimizer_step_post_hook(note("global post")),
        optimizer.register_step_pre_hook(note("pre")),
        optimizer.register_step_pre_hook(note("second pre")),
        register_optimizer_step_pre_hook(note("global pre")),
    ]
    try:
        run(configuration, optimizer, gradients(params, 1))
    finally:
        for handle in handles:
            handle.remove()
    first = [("global pre", True), ("pre", True), ("second pre", True)]
    assert heard == [*first, ("post", False), ("global post", False)]
    run(configuration, optimizer, gradients(params, 1))
    assert len(heard) == 5


@laws(ONCE)
def test_a_hook_may_exchange_the_arguments(configuration):
    params = parameters(configuration)
    optimizer = configuration.build(params)
    calls = []

    def closure(value):
        def evaluate():
            run_gradients(configuration, params)
            calls.append(value)
            return torch.tensor(float(value))

        return evaluate

    optimizer.register_step_pre_hook(lambda _, args, kwargs: ((optimizer, closure(2)), {}))
    assert optimizer.step(closure(1)) == 2 and set(calls) == {2}
    optimizer.register_step_pre_hook(lambda *_: "nonsense")
    with pytest.raises(RuntimeError, match="must return None or a tuple"):
        optimizer.step(closure(1))


def run_gradients(configuration, params):
    for p in params:
        g = torch.ones_like(p)
        p.grad = g.to_sparse() if configuration.info.only_supports_sparse_grads else g


@laws(ONCE)
def test_a_closure_sees_gradients_on_and_its_loss_comes_back(configuration):
    params = parameters(configuration)
    optimizer = configuration.build(params)
    with torch.no_grad():

        def closure():
            assert torch.is_grad_enabled()
            run_gradients(configuration, params)
            return torch.tensor(3.5)

        assert float(optimizer.step(closure)) == 3.5
        assert not torch.is_grad_enabled()


@laws(ONCE)
def test_hooks_around_state_dict(configuration):
    optimizer = configuration.build(parameters(configuration))
    heard = []
    optimizer.register_state_dict_pre_hook(lambda seen: heard.append(("pre", seen)))
    optimizer.register_state_dict_post_hook(lambda seen, saved: {**saved, "more": 1})
    first = optimizer.register_state_dict_pre_hook(lambda _: heard.append("first"), prepend=True)
    assert optimizer.state_dict()["more"] == 1 and heard == ["first", ("pre", optimizer)]
    first.remove()
    optimizer.register_state_dict_post_hook(lambda seen, saved: saved.update(more=saved.get("more", 0) + 1))
    assert optimizer.state_dict()["more"] == 2 and heard[2:] == [("pre", optimizer)]
    optimizer.register_state_dict_post_hook(lambda *_: {"none": "of it"}, prepend=True)
    assert optimizer.state_dict() == {"none": "of it", "more": 2}


@laws(ONCE)
def test_hooks_around_load_state_dict(configuration):
    params = parameters(configuration)
    optimizer = configuration.build(params)
    run(configuration, optimizer, gradients(params, 1))
    saved, heard = optimizer.state_dict(), []

    def rate(value):
        def hook(_, state_dict):
            heard.append(value)
            groups = [{**group, "lr": value} for group in state_dict["param_groups"]]
            return {**state_dict, "param_groups": groups}

        return hook

    loaded = configuration.build(parameters(configuration), lr=0.75)
    loaded.register_load_state_dict_pre_hook(rate(0.5))
    loaded.register_load_state_dict_pre_hook(rate(0.25), prepend=True)
    loaded.register_load_state_dict_post_hook(lambda seen: heard.append(seen.param_groups[0]["lr"]))
    handle = loaded.register_load_state_dict_post_hook(lambda seen: heard.append("first"), prepend=True)
    with pytest.warns(UserWarning, match="the checkpoint sets lr"):
        loaded.load_state_dict(saved)
    assert heard == [0.25, 0.5, "first", 0.5] and loaded.param_groups[0]["lr"] == 0.5
    assert saved["param_groups"][0]["lr"] != 0.5  # the hook's copy was changed, not what was given
    handle.remove()
    loaded.load_state_dict(saved)
    assert heard[4:] == [0.25, 0.5, 0.5]


@laws(ONCE)
def test_the_profiler_has_a_range_for_the_step_and_for_zero_grad(configuration):
    params = parameters(configuration)
    optimizer = configuration.build(params)
    with torch.autograd.profiler.profile() as profile:
        run(configuration, optimizer, gradients(params, 1))
        optimizer.zero_grad()
    names, cls = {event.name for event in profile.function_events}, configuration.info.name
    assert {f"Optimizer.step#{cls}.step", f"Optimizer.zero_grad#{cls}.zero_grad"} <= names


@laws(ONCE)
def test_it_prints_as_torchs_does(configuration):
    """The class, and every group with its settings in order; ours has some more."""
    ours, theirs = (
        build(parameters(configuration), foreach=None) if "foreach" in configuration.info.supported_impls else
        build(parameters(configuration))
        for build in (configuration.build, configuration.info.optim_cls)
    )  # fmt: skip
    mine, others = repr(ours).splitlines(), repr(theirs).splitlines()
    assert mine[0] == others[0] == f"{configuration.info.name} (" and mine[-1] == ")"
    more = [name for name in ours.defaults if name not in theirs.defaults]
    kept = [line for line in mine if line.split(":")[0].strip() not in more]
    # Numbers count by their value: torch has weight_decay=0 here and 0.0 there.
    assert [line.removesuffix(".0") for line in kept] == [line.removesuffix(".0") for line in others]
