"""A checkpoint is looked at before anything is taken over: whole states, allowed settings, names of wrappers."""

import copy
import math
import warnings

import numpy as np
import pytest
import torch
from subjects import SUBJECTS, give, gradients, parameters, run

import thalweg.optim as optim
from thalweg.plan.quantized import LAYOUT, QuantizedPlan

SHAPES = [(6, 5), (3,)]
GIVEN = gradients(SHAPES, 8, torch.float32)
PLAIN = [subject for subject in SUBJECTS if not subject.settings]


def snapshot(optimizer):
    return copy.deepcopy((optimizer.state_dict(), [p.detach().clone() for p in optimizer.param_groups[0]["params"]]))


def same(one, two):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, two)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(two) and all(map(same, one, two))
    return one == two


def refused(optimizer, state_dict, error, match, **more):
    """The load is refused, and the optimizer is what it was, to the last bit."""
    before = snapshot(optimizer)
    with pytest.raises(error, match=match):
        optimizer.load_state_dict(state_dict, **more)
    assert same(snapshot(optimizer), before)


# -- states ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subject", PLAIN, ids=str)
def test_a_state_that_lacks_a_part_is_refused_by_its_name(subject):
    optimizer = subject.build(parameters(SHAPES, torch.float32))
    run(optimizer, GIVEN[:4])
    saved = optimizer.state_dict()
    names = [name for name in saved["state"].get(0, {}) if len(saved["state"][0]) > 1]
    for name in names:
        cut = copy.deepcopy(saved)
        del cut["state"][0][name]
        loaded = subject.build(parameters(SHAPES, torch.float32))
        run(loaded, GIVEN[:1])
        refused(loaded, cut, ValueError, rf"parameter 0 .*lacks {name}\b")


def test_adam_without_its_second_moments_does_not_leap():
    """Filled with zeros they made the first step 29 times the learning rate."""
    [p] = parameters([(30,)], torch.float32)
    saved = optim.Adam([p], lr=0.01)
    run(saved, [[torch.ones(30)]] * 100)
    cut = copy.deepcopy(saved.state_dict())
    del cut["state"][0]["exp_avg_sq"]
    refused(optim.Adam([p], lr=0.01), cut, ValueError, r"lacks exp_avg_sq.*incomplete='restart'")
    anew = optim.Adam([p], lr=0.5)
    with pytest.warns(UserWarning, match="lr=0.01"):
        anew.load_state_dict(cut, incomplete="restart")
    assert not anew.state.get(p) and anew.param_groups[0]["lr"] == 0.01
    before = p.detach().clone()
    run(anew, [[torch.ones(30)]])
    assert torch.allclose(before - p, torch.tensor(0.01), rtol=1e-4) and anew.state[p]["step"] == 1


def test_a_restart_keeps_the_states_that_are_whole():
    saved = optim.Adam(parameters(SHAPES, torch.float32))
    run(saved, GIVEN[:3])
    cut = copy.deepcopy(saved.state_dict())
    del cut["state"][1]["step"]
    ours = parameters(SHAPES, torch.float32)
    loaded = optim.Adam(ours)
    loaded.load_state_dict(cut, incomplete="restart")
    assert torch.equal(loaded.state[ours[0]]["exp_avg"], cut["state"][0]["exp_avg"]) and not loaded.state.get(ours[1])
    with pytest.raises(ValueError, match="incomplete='ignore': allowed are 'refuse', 'restart'"):
        loaded.load_state_dict(cut, incomplete="ignore")


@pytest.mark.parametrize("steps", [0, 3])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("module", [torch.optim, optim], ids=["torch", "ours"])
def test_a_checkpoint_of_sgd_is_none_of_adam(module, momentum, steps):
    saved = module.SGD(parameters(SHAPES, torch.float32), lr=0.1, momentum=momentum)
    run(saved, GIVEN[:steps])
    adam = optim.Adam(parameters(SHAPES, torch.float32))
    run(adam, GIVEN[:2])
    refused(adam, saved.state_dict(), ValueError, "group 0 is another optimizer's: .*momentum.* lacks .*betas")


def test_a_checkpoint_of_adam_is_none_of_others():
    saved = torch.optim.Adam(parameters(SHAPES, torch.float32))
    run(saved, GIVEN[:2])
    for cls in (optim.SGD, optim.RMSprop, optim.Adagrad, optim.Rprop, optim.Adamax, optim.NAdam, optim.Shampoo):
        loaded = cls(parameters(SHAPES, torch.float32))
        refused(loaded, saved.state_dict(), ValueError, "group 0 is another optimizer's|lacks")
    loaded = optim.AdamW(parameters(SHAPES, torch.float32), weight_decay=0.0)
    loaded.load_state_dict(saved.state_dict())  # the same states, and torch takes it
    assert len(loaded.state) == 2


def test_another_optimizers_settings_are_left_out_of_a_deliberate_restart():
    saved = torch.optim.SGD(parameters(SHAPES, torch.float32), lr=0.1, momentum=0.9)
    run(saved, GIVEN[:2])
    ours = optim.Adam(parameters(SHAPES, torch.float32), lr=0.1)
    ours.load_state_dict(saved.state_dict(), incomplete="restart")
    fresh = optim.Adam(parameters(SHAPES, torch.float32), lr=0.1)
    assert ours.param_groups[0].keys() == fresh.param_groups[0].keys()
    for optimizer in (ours, fresh):
        run(optimizer, GIVEN[:2])
    pairs = zip(ours.param_groups[0]["params"], fresh.param_groups[0]["params"], strict=True)
    assert all(torch.equal(p, q) for p, q in pairs)


@pytest.mark.parametrize("subject", PLAIN, ids=str)
def test_late_and_frozen_parameters_have_no_state_and_load(subject):
    """As with LoRA: some parameters were stepped, some never; and those that were are whole."""
    params = parameters(SHAPES, torch.float32)
    optimizer = subject.build(params)
    give(optimizer, params[0], GIVEN[0][0])
    optimizer.step()
    assert not optimizer.state.get(params[1]) or subject.entry.rule.initial  # Adagrad's is there from the start
    loaded = subject.build(parameters(SHAPES, torch.float32))
    loaded.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    run(loaded, GIVEN[:2])


@pytest.mark.parametrize(
    "name, switched, key",
    [
        ("Adam", {"amsgrad": True}, "max_exp_avg_sq"),
        ("RMSprop", {"momentum": 0.9}, "momentum_buffer"),
        ("RMSprop", {"centered": True}, "grad_avg"),
    ],
)
def test_what_a_setting_switched_on_later_adds_may_be_missing_everywhere_and_is_told(name, switched, key):
    saved = getattr(optim, name)(parameters(SHAPES, torch.float32))
    run(saved, GIVEN[:3])
    saved.param_groups[0].update(switched)
    state_dict = copy.deepcopy(saved.state_dict())
    loaded = getattr(optim, name)(parameters(SHAPES, torch.float32), **switched)
    with pytest.warns(UserWarning, match=f"2 of 2 states of group 0 have no {key}.* starts anew"):
        loaded.load_state_dict(state_dict)
    for p, q in zip(saved.param_groups[0]["params"], loaded.param_groups[0]["params"], strict=True):
        q.data.copy_(p.data)
    for optimizer in (saved, loaded):
        run(optimizer, GIVEN[3:6])
    assert same(saved.state_dict()["state"], loaded.state_dict()["state"])
    some = copy.deepcopy(saved.state_dict())
    del some["state"][1][key]
    refused(loaded, some, ValueError, f"parameter 1 lacks {key}")


def test_master_weights_switched_on_later_start_from_the_parameter_and_are_told():
    half = [torch.nn.Parameter(torch.ones(4, dtype=torch.bfloat16))]
    saved = optim.Adam(half, rounding="master")
    run(saved, [[torch.ones_like(half[0])]] * 3)
    cut = copy.deepcopy(saved.state_dict())
    del cut["state"][0]["master"]
    with pytest.warns(UserWarning, match="have no master"):
        optim.Adam(half, rounding="master").load_state_dict(cut)
    torchs = torch.optim.Adam(half)
    run(torchs, [[torch.ones_like(half[0])]])
    optim.Adam(half, rounding="master").load_state_dict(torchs.state_dict())  # which has no word for it


@pytest.mark.parametrize(
    "name, dtype, switched",
    [
        ("Adam", torch.float32, {"amsgrad": True}),
        ("RMSprop", torch.float32, {"momentum": 0.9}),
        ("SGD", torch.bfloat16, {"momentum": 0.9}),
        ("SGD", torch.bfloat16, {"rounding": "kahan"}),
        ("Lion", torch.bfloat16, {"rounding": "master"}),
    ],
)
def test_a_parameter_that_stood_still_since_a_setting_was_switched_on_lacks_what_it_adds_and_loads(
    name, dtype, switched
):
    """An optimizer's own checkpoint was refused: frozen layers have not what the others got since."""
    saved = getattr(optim, name)(parameters(SHAPES, dtype), lr=0.01)
    given = gradients(SHAPES, 8, dtype)
    run(saved, given[:3])
    saved.param_groups[0].update(switched)
    moving, still = saved.param_groups[0]["params"]
    for g, _ in given[3:5]:
        moving.grad, still.grad = g, None
        saved.step()
    loaded = getattr(optim, name)(parameters(SHAPES, dtype), lr=0.01)
    with pytest.warns(UserWarning, match="1 of 2 states of group 0 have no .* starts anew"):
        loaded.load_state_dict(copy.deepcopy(saved.state_dict()))
    for p, q in zip(saved.param_groups[0]["params"], loaded.param_groups[0]["params"], strict=True):
        q.data.copy_(p.data)
    for optimizer in (saved, loaded):
        run(optimizer, given[5:])
    assert same(snapshot(saved), snapshot(loaded))


def test_an_estimate_that_came_before_the_first_step_is_no_broken_state():
    [p] = parameters([(3,)], torch.float32)
    optimizer = optim.AdaHessian([p])
    optimizer.estimate((p**3).sum())
    state_dict = copy.deepcopy(optimizer.state_dict())
    assert list(state_dict["state"][0]) == ["hessian_diag"]
    optim.AdaHessian([p]).load_state_dict(state_dict)


def test_empty_states_and_buffers_that_are_none_are_taken_as_torch_writes_them():
    params = parameters(SHAPES, torch.float32)
    old = torch.optim.SGD(params, lr=0.1).state_dict()
    old["state"] = {0: {"momentum_buffer": None}, 1: {}}
    optim.SGD(params, lr=0.1).load_state_dict(old)


def test_a_state_put_in_by_hand_is_looked_at_by_the_step():
    """`ZeroRedundancyOptimizer` loads around the inner optimizer's `load_state_dict`."""
    params = parameters(SHAPES, torch.float32)
    optimizer = optim.Adam(params)
    run(optimizer, GIVEN[:3])
    del optimizer.state[params[1]]["exp_avg_sq"]
    before = [p.detach().clone() for p in params]
    with pytest.raises(RuntimeError, match="state lacks exp_avg_sq"):
        run(optimizer, GIVEN[3:4])
    assert all(map(torch.equal, params, before)) and optimizer.state[params[0]]["step"] == 3


# -- settings -------------------------------------------------------------------------------------------------------

BAD = [
    ({"lr": -5.0}, "Invalid learning rate: -5.0"),
    ({"lr": math.nan}, "Invalid learning rate: nan"),
    ({"betas": (2, -3)}, "Invalid beta parameter at index 0: 2"),
    ({"eps": -1.0}, "Invalid epsilon value: -1.0"),
    ({"rounding": "sideways"}, "Invalid rounding value: 'sideways'"),
    ({"maximize": "yes"}, "Invalid maximize value: 'yes'"),
    ({"weight_decay": "0.1"}, "Invalid weight_decay value: '0.1'"),
    ({"gradient_scale": None}, "Invalid value: None"),
    ({"state_dtype": "int3"}, "Invalid state_dtype value: 'int3'"),  # though this setting is not taken over
]


@pytest.mark.parametrize("bad, match", BAD, ids=lambda value: str(value)[:30])
def test_settings_in_a_checkpoint_are_those_that_the_constructor_takes(bad, match):
    params = parameters(SHAPES, torch.float32)
    optimizer = optim.Adam([{"params": params[:1]}, {"params": params[1:]}])
    run(optimizer, GIVEN[:2])
    state_dict = copy.deepcopy(optimizer.state_dict())
    state_dict["param_groups"][1].update(bad)
    refused(optimizer, state_dict, ValueError, f"the checkpoint's group 1: {match}")


@pytest.mark.parametrize(
    "name, value, match",
    [
        ("step", -3.0, "state 'step' is -3.0; must be a number of steps, 0 or more"),
        ("step", torch.tensor(math.nan), "state 'step' is nan; must be"),
        ("step", "10", "state 'step' is '10'; must be"),
        ("exp_avg", "x", "state 'exp_avg' is 'x'; must be a tensor"),
    ],
)
def test_what_can_be_no_state_is_refused(name, value, match):
    params = parameters(SHAPES, torch.float32)
    optimizer = optim.Adam(params)
    run(optimizer, GIVEN[:2])
    state_dict = copy.deepcopy(optimizer.state_dict())
    state_dict["state"][1][name] = value
    refused(optimizer, state_dict, ValueError, f"parameter 1: {match}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optimizer.load_state_dict(state_dict, incomplete="restart")
    assert params[1] not in optimizer.state or not optimizer.state[params[1]]


def test_states_whose_keys_have_become_text_are_refused():
    optimizer = optim.Adam(parameters(SHAPES, torch.float32))
    run(optimizer, GIVEN[:2])
    state_dict = optimizer.state_dict()
    state_dict["state"] = {str(place): state for place, state in state_dict["state"].items()}
    refused(optimizer, state_dict, ValueError, "the checkpoint's states have keys of text, such as '0'")


def test_settings_of_other_libraries_become_pythons_as_in_the_constructor():
    params = parameters(SHAPES, torch.float32)
    given = {"maximize": 1, "betas": np.array([0.8, 0.9]), "weight_decay": False, "lr": np.float32(0.5)}
    state_dict = optim.Adam(params).state_dict()
    state_dict["param_groups"][0].update(given)
    loaded = optim.Adam(params)
    with pytest.warns(UserWarning, match="the checkpoint sets lr=0.5"):
        loaded.load_state_dict(state_dict)
    group, built = loaded.param_groups[0], optim.Adam(params, **given).param_groups[0]
    assert {name: (group[name], type(group[name])) for name in given} == {n: (built[n], type(built[n])) for n in given}
    assert state_dict["param_groups"][0]["maximize"] is given["maximize"]  # the user's is left alone


@pytest.mark.parametrize("subject", PLAIN, ids=str)
def test_every_class_checks_every_setting(subject):
    optimizer = subject.build(parameters(SHAPES, torch.float32))
    for name in optimizer.hyperparameters():
        if name == "state_dtype":  # of the machine: a checkpoint does not change it
            continue
        state_dict = copy.deepcopy(optimizer.state_dict())
        state_dict["param_groups"][0][name] = "nonsense"
        refused(optimizer, state_dict, ValueError, "group 0: .*'nonsense'")


def test_what_settings_forbid_together_is_refused_together():
    params = parameters(SHAPES, torch.float32)
    saved = optim.SGD(params, momentum=0.9, nesterov=True).state_dict()
    saved["param_groups"][0]["dampening"] = 0.5
    refused(optim.SGD(params, momentum=0.9), saved, ValueError, "group 0: Nesterov momentum requires")
    centred = optim.RMSprop(params, centered=True).state_dict()
    small = optim.RMSprop(params, state_dtype="int8")
    refused(small, centred, ValueError, "group 0: state_dtype='int8'")


# -- names ----------------------------------------------------------------------------------------------------------

WRAPPED = [
    lambda name: f"_orig_mod.{name}",
    lambda name: f"module.{name}",
    lambda name: f"module._orig_mod.{name}",
    lambda name: name.replace("block.", "block._checkpoint_wrapped_module."),
    lambda name: "_fsdp_wrapped_module." + name.replace("block.", "block._fsdp_wrapped_module._orig_mod."),
]
ORDERS = ["block.w", "block.b", "head.w"], ["head.w", "block.b", "block.w"]


def named(names):
    params = {name: torch.nn.Parameter(torch.ones(3)) for name in names}
    return params, optim.Adam(list(params.items()))


@pytest.mark.parametrize("wrap", WRAPPED)
@pytest.mark.parametrize("saved_wrapped", [True, False])
def test_names_of_wrappers_are_no_part_of_a_name(wrap, saved_wrapped):
    both = [(name, wrap(name)) for name in ORDERS[0]], [(name, wrap(name)) for name in ORDERS[1]]
    params, saved = named([pair[saved_wrapped] for pair in both[0]])
    for index, p in enumerate(params.values()):
        p.grad = torch.full_like(p, 1.0 + index)
    saved.step()
    others, loaded = named([pair[not saved_wrapped] for pair in both[1]])
    loaded.load_state_dict(copy.deepcopy(saved.state_dict()))
    for plain, wrapped in both[0]:
        one, two = (wrapped, plain) if saved_wrapped else (plain, wrapped)
        assert torch.equal(loaded.state[others[two]]["exp_avg"], saved.state[params[one]]["exp_avg"])
    assert loaded.state_dict()["param_groups"][0]["param_names"] == list(others)


def test_a_module_that_is_called_module_keeps_its_name_where_it_tells_two_apart():
    params, saved = named(["module.w", "w"])
    for index, p in enumerate(params.values()):
        p.grad = torch.full_like(p, 1.0 + index)
    saved.step()
    others, loaded = named(["w", "module.w"])
    loaded.load_state_dict(copy.deepcopy(saved.state_dict()))
    assert all(torch.equal(loaded.state[others[n]]["exp_avg"], saved.state[params[n]]["exp_avg"]) for n in params)
    _, other = named(["_orig_mod.w", "_orig_mod.module.w"])
    refused(other, saved.state_dict(), ValueError, "group 0 is of other parameters")


# -- layout of 8-bit states -----------------------------------------------------------------------------------------


def test_codes_that_came_to_lie_in_another_order_are_refused():
    """Formats without strides copy them by index: blocks are then of other elements than their scales."""
    shape = (64, 8, 3, 3)
    p = torch.nn.Parameter(torch.rand(shape).to(memory_format=torch.channels_last))
    saved = optim.Adam([p], state_dtype="int8")
    run(saved, [[torch.randn(shape)]] * 2)
    assert any(isinstance(plan, QuantizedPlan) for _, plan in saved._stepper._plans)
    there = copy.deepcopy(saved.state_dict())
    assert there["state"][0]["exp_avg" + LAYOUT].dtype == torch.int64
    kept = optim.Adam([torch.nn.Parameter(torch.zeros(shape))], state_dtype="int8")
    kept.load_state_dict(there)  # with its strides it says how it lies
    full = copy.deepcopy(kept.full_state_dict()["state"][0])
    assert all(torch.equal(full[name], saved.full_state_dict()["state"][0][name]) for name in full)
    assert list(full) == ["exp_avg", "exp_avg_sq", "step"]
    run(kept, [[torch.randn(shape)]])
    for name in ("exp_avg", "exp_avg_sq"):
        there["state"][0][name] = there["state"][0][name].contiguous()
    loaded = optim.Adam([torch.nn.Parameter(torch.zeros(shape))], state_dtype="int8")
    refused(loaded, there, RuntimeError, r"blocks of other elements.*full_state_dict\(\)")
    loaded.load_state_dict(there, incomplete="restart")
    assert not loaded.state


def test_codes_that_were_read_into_floats_are_refused():
    """torch.distributed.checkpoint copies into whatever dtype it finds: codes become numbers from 0 to 255."""
    saved = optim.Adam([torch.nn.Parameter(torch.zeros(70, 70))], state_dtype="int8")
    run(saved, [[torch.randn(70, 70)]] * 2)
    there = copy.deepcopy(saved.state_dict())
    there["state"][0] = {name: there["state"][0][name].float() for name in ("step", "exp_avg", "exp_avg_sq")}
    loaded = optim.Adam([torch.nn.Parameter(torch.zeros(70, 70))])
    refused(loaded, there, RuntimeError, r"parameter 0: state 'exp_avg' has codes .*full_state_dict\(\)")
    switched = optim.Adam([torch.nn.Parameter(torch.zeros(70, 70))])
    run(switched, [[torch.randn(70, 70)]] * 2)
    switched.param_groups[0]["state_dtype"] = "int8"  # from the next step on
    loaded.load_state_dict(copy.deepcopy(switched.state_dict()))
