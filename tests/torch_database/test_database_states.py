"""Checkpoints, copies and pickles: what is saved is all there is, and what is loaded goes on as if nothing had been."""

import copy
import io
import pickle
import warnings

import pytest
import torch
from configurations import CONFIGURATIONS, DEFAULTS, gradients, laws, parameters, run, same, snapshot, states

ONCE = [each for each in CONFIGURATIONS if each.engine != "cpu"]
NAMES = ("first", "second", "third")


def through_a_file(state_dict):
    """`weights_only` refuses anything but tensors and plain values."""
    file = io.BytesIO()
    torch.save(state_dict, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def begun(configuration, steps=3, named=False):
    params = parameters(configuration)
    optimizer = configuration.build(list(zip(NAMES, params, strict=False)) if named else params)
    run(configuration, optimizer, gradients(params, steps))
    return params, optimizer


def resumed(configuration, params, named=False, **settings):
    """Another optimizer over copies of these parameters."""
    copies = [torch.nn.Parameter(p) for p in snapshot(params)]
    return copies, configuration.build(list(zip(NAMES, copies, strict=False)) if named else copies, **settings)


def assert_goes_on_alike(configuration, params, optimizer, others, other, steps=3):
    given = gradients(params, steps, seed=7)
    run(configuration, optimizer, given)
    run(configuration, other, given)
    assert same(params, others)
    for own, its in zip(states(optimizer), states(other), strict=True):
        assert own.keys() == its.keys()
        assert all(torch.equal(own[name], its[name]) for name in own if isinstance(own[name], torch.Tensor))


@laws(ONCE)
def test_state_dict_is_deterministic_and_says_the_same_as_torchs(configuration):
    """The same twice; states by the parameter's number; groups with torch's settings; the tensors themselves."""
    params, optimizer = begun(configuration)
    one, two = optimizer.state_dict(), optimizer.state_dict()
    assert one["param_groups"] == two["param_groups"] and one.keys() == two.keys() == {"state", "param_groups"}
    assert list(one["state"]) == list(two["state"]) and one["param_groups"][0]["params"] == list(range(len(params)))
    for index, state in one["state"].items():
        own = optimizer.state[params[index]]
        assert state.keys() == own.keys() == two["state"][index].keys()
        assert all(state[name] is own[name] is two["state"][index][name] for name in own)
    theirs = configuration.build_torch(parameters(configuration))
    run(configuration, theirs, gradients(params, 3))
    torchs = theirs.state_dict()
    assert list(one["state"]) == list(torchs["state"])
    assert all(one["state"][index].keys() == state.keys() for index, state in torchs["state"].items())
    assert torchs["param_groups"][0].keys() <= one["param_groups"][0].keys()
    assert pickle.loads(pickle.dumps(one)).keys() == one.keys()


@laws(CONFIGURATIONS)
def test_a_saved_optimizer_goes_on_alike(configuration):
    params, optimizer = begun(configuration)
    others, other = resumed(configuration, params)
    other.load_state_dict(through_a_file(optimizer.state_dict()))
    assert_goes_on_alike(configuration, params, optimizer, others, other)


@laws(CONFIGURATIONS)
def test_torchs_own_class_goes_on_from_ours_and_ours_from_torchs(configuration, double):
    params = parameters(configuration)
    theirs = configuration.build_torch(params)
    run(configuration, theirs, gradients(params, 3))
    _, other = resumed(configuration, params)
    other.load_state_dict(through_a_file(theirs.state_dict()))
    back = [torch.nn.Parameter(p) for p in snapshot(params)]
    returned = configuration.build_torch(back)
    returned.load_state_dict(through_a_file(other.state_dict()))
    assert_goes_on_alike(configuration, params, theirs, back, returned)


@laws(DEFAULTS)
def test_a_checkpoint_from_before_a_setting_or_with_a_plain_step_loads(configuration):
    params, optimizer = begun(configuration)
    saved = copy.deepcopy(optimizer.state_dict())
    for flag in configuration.info.not_og_supported_flags:
        saved["param_groups"][0].pop(flag, None)
    saved["param_groups"][0]["params"] = tuple(saved["param_groups"][0]["params"])
    for state in saved["state"].values():
        if isinstance(state.get("step"), torch.Tensor):
            state["step"] = state["step"].item()
    others, other = resumed(configuration, params)
    other.load_state_dict(saved)
    assert_goes_on_alike(configuration, params, optimizer, others, other)
    for flag in configuration.info.not_og_supported_flags:
        assert other.param_groups[0].get(flag) == optimizer.param_groups[0].get(flag)


@pytest.mark.parametrize("named_after", [False, True])
@pytest.mark.parametrize("named_before", [False, True])
@laws([each for each in DEFAULTS if each.engine != "cpu"])
def test_with_names_and_without(configuration, named_before, named_after):
    """Names that either has are there afterwards."""
    params, optimizer = begun(configuration, named=named_before)
    others, other = resumed(configuration, params, named=named_after)
    other.load_state_dict(through_a_file(optimizer.state_dict()))
    assert_goes_on_alike(configuration, params, optimizer, others, other)
    expected = list(NAMES[: len(params)]) if named_before or named_after else None
    assert other.state_dict()["param_groups"][0].get("param_names") == expected


@laws(DEFAULTS)
def test_parameters_that_share_a_name_are_told_apart_by_their_order(configuration):
    def build(params):
        return configuration.build([("same", p) for p in params])

    params = [torch.nn.Parameter(torch.full((2,), value, dtype=torch.float64)) for value in (1.0, 2.0)]
    optimizer = build(params)
    run(configuration, optimizer, gradients(params, 2))
    copies = [torch.nn.Parameter(p) for p in snapshot(params)]
    other = build(copies)
    other.load_state_dict(optimizer.state_dict())
    assert_goes_on_alike(configuration, params, optimizer, copies, other)
    third = torch.nn.Parameter(torch.ones(2))
    with pytest.raises(ValueError, match="name"):
        configuration.build([("same", third)]).load_state_dict(optimizer.state_dict())


@pytest.mark.parametrize("way", [copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))], ids=["copy", "pickle"])
@laws(DEFAULTS)
def test_a_copy_has_all_public_attributes_and_goes_on_alike(configuration, way):
    params, optimizer = begun(configuration)
    other = way(optimizer)
    public = {name for name in vars(optimizer) if not name.startswith("_")}
    assert public == {name for name in vars(other) if not name.startswith("_")}
    others = [p for group in other.param_groups for p in group["params"]]
    assert not any(p is q for p, q in zip(params, others, strict=True))
    assert_goes_on_alike(configuration, params, optimizer, others, other)


@laws(DEFAULTS)
def test_loading_leaves_what_was_given_alone(configuration):
    params, optimizer = begun(configuration)
    saved = optimizer.state_dict()
    kept = copy.deepcopy(saved)
    others, other = resumed(configuration, params)
    other.load_state_dict(saved)
    run(configuration, other, gradients(others, 2))
    for index, state in kept["state"].items():
        for name, value in state.items():
            held = saved["state"][index][name]
            assert torch.equal(held, value) if isinstance(value, torch.Tensor) else held == value
    assert saved["param_groups"] == kept["param_groups"]


@laws([each for each in DEFAULTS if each.engine != "cpu"])
def test_a_checkpoint_of_another_number_of_parameters_is_refused_in_torchs_words(configuration):
    params, optimizer = begun(configuration)
    saved = optimizer.state_dict()
    fewer = configuration.build(params[:1])
    with pytest.raises(ValueError, match="doesn't match the size of optimizer's group"):
        fewer.load_state_dict(saved)
    saved["param_groups"] = saved["param_groups"] * 2
    with pytest.raises(ValueError, match="different number of parameter groups"):
        optimizer.load_state_dict(saved)


@laws(DEFAULTS)
def test_loading_brings_the_settings_of_every_group(configuration):
    def build(rates):
        params = parameters(configuration)[:2]
        return params, configuration.build([{"params": [p], "lr": lr} for p, lr in zip(params, rates, strict=True)])

    params, optimizer = build((0.1, 0.2))
    run(configuration, optimizer, gradients(params, 2))
    _, other = build((0.5, 0.2))
    with pytest.warns(UserWarning, match=r"lr=0\.1 \(was 0\.5\)"):
        other.load_state_dict(optimizer.state_dict())
    assert [group["lr"] for group in other.param_groups] == [0.1, 0.2]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        other.load_state_dict(optimizer.state_dict())
