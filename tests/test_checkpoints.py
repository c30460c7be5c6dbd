"""Checkpoints cross between torch and Thalweg in both directions; saving and resuming changes no bit."""

import copy
import io
import pickle
import warnings

import pytest
import torch
from subjects import FAST, SUBJECTS, gradients, parameters, run, states

import thalweg.optim as optim

SHAPES = [(6, 5), (3,), ()]
GIVEN = gradients(SHAPES, 40, torch.float32)
BOTH = [subject for subject in SUBJECTS if subject.torch_class]


def through_a_file(state_dict):
    """As a checkpoint on disk; `weights_only` refuses anything but tensors and plain values."""
    file = io.BytesIO()
    torch.save(state_dict, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def close(ours, theirs, optimizer, other):
    """Within what 20 steps of float32 rounding make of it."""
    tolerance = dict(rtol=1e-4, atol=2e-5)
    for p, q in zip(ours, theirs, strict=True):
        assert torch.allclose(p, q, **tolerance)
    for own, torchs in zip(states(optimizer), states(other), strict=True):
        assert own.keys() == torchs.keys()
        for name in own:
            wide = name in ("step", "mu_product", "eta", "mu") and own[name].dtype == torch.float64  # torch: float32
            assert (wide or own[name].dtype == torchs[name].dtype) and own[name].shape == torchs[name].shape
            assert torch.allclose(own[name].to(torchs[name].dtype), torchs[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("engine", ["reference", FAST])
@pytest.mark.parametrize("subject", BOTH, ids=str)
def test_a_torch_checkpoint_goes_on_here_and_ours_in_torch(subject, engine):
    steady = parameters(SHAPES, torch.float32)
    torch_all_along = subject.build_torch(steady)
    run(torch_all_along, GIVEN)

    begun = parameters(SHAPES, torch.float32)
    first_half = subject.build_torch(begun)
    run(first_half, GIVEN[:20])
    ours = subject.build(begun, engine=engine)
    ours.load_state_dict(through_a_file(first_half.state_dict()))
    run(ours, GIVEN[20:])
    close(begun, steady, ours, torch_all_along)

    begun = parameters(SHAPES, torch.float32)
    first_half = subject.build(begun, engine=engine)
    run(first_half, GIVEN[:20])
    theirs = subject.build_torch(begun)
    theirs.load_state_dict(through_a_file(first_half.state_dict()))
    run(theirs, GIVEN[20:])
    close(begun, steady, theirs, torch_all_along)


@pytest.mark.parametrize("subject", [each for each in SUBJECTS if not each.settings], ids=str)
@pytest.mark.parametrize("way", ["state_dict", "pickle", "deepcopy"])
def test_saving_and_resuming_changes_no_bit(subject, way):
    steady = parameters(SHAPES, torch.float32)
    run(subject.build(steady), GIVEN[:20])
    begun = parameters(SHAPES, torch.float32)
    optimizer = subject.build(begun)
    run(optimizer, GIVEN[:9])
    if way == "state_dict":
        resumed = subject.build(begun, lr=123.0)
        resumed.load_state_dict(through_a_file(optimizer.state_dict()))
    elif way == "pickle":
        resumed = pickle.loads(pickle.dumps(optimizer))
    else:
        resumed = copy.deepcopy(optimizer)
    run(resumed, GIVEN[9:20])
    final = [p for group in resumed.param_groups for p in group["params"]]
    assert all(torch.equal(p, q) for p, q in zip(final, steady, strict=True))


def test_the_engine_survives_pickling():
    optimizer = optim.Adam(parameters([(2,)]), engine="reference")
    assert pickle.loads(pickle.dumps(optimizer))._engine == "reference"


def test_loading_copies_and_settings_that_are_not_in_the_checkpoint_stay():
    theirs = torch.optim.Adam(parameters(SHAPES, torch.float32), lr=0.5)
    run(theirs, GIVEN[:3])
    saved = theirs.state_dict()
    ours = optim.Adam(parameters(SHAPES, torch.float32), bias_correction=False, gradient_scale=0.5)
    ours.load_state_dict(saved)
    group = ours.param_groups[0]
    assert (group["lr"], group["bias_correction"], group["gradient_scale"]) == (0.5, False, 0.5)
    kept = saved["state"][0]["exp_avg"].clone()
    run(ours, GIVEN[:3])
    assert torch.equal(saved["state"][0]["exp_avg"], kept)


def test_state_of_half_precision_parameters_keeps_its_float32():
    """torch's loader would round it to the parameter's bfloat16."""
    params = [torch.nn.Parameter(torch.ones(4, dtype=torch.bfloat16))]
    optimizer = optim.Adam(params)
    run(optimizer, [[torch.full((4,), 0.3, dtype=torch.bfloat16)]] * 5)
    again = optim.Adam(params)
    again.load_state_dict(optimizer.state_dict())
    before, after = (each.state[params[0]]["exp_avg_sq"] for each in (optimizer, again))
    assert after.dtype == torch.float32 and torch.equal(before, after)


def test_old_checkpoints_with_plain_step_counts_load():
    [p] = parameters([(3,)], torch.float32)
    saved = optim.Adam([p])
    run(saved, [[torch.ones(3)]] * 4)
    old = saved.state_dict()
    old["state"][0] = {**old["state"][0], "step": 4}
    for key in ("maximize", "foreach", "fused", "capturable", "decoupled_weight_decay"):
        del old["param_groups"][0][key]
    loaded = optim.Adam([torch.nn.Parameter(p.detach().clone())])
    loaded.load_state_dict(old)
    run(saved, [[torch.ones(3)]])
    run(loaded, [[torch.ones(3)]])
    assert torch.equal(loaded.param_groups[0]["params"][0], p)
    assert loaded.state_dict()["state"][0]["step"] == 5


def test_a_checkpoint_of_another_model_is_refused():
    saved = optim.Adam(parameters([(3,), (2,)], torch.float32))
    run(saved, [[torch.ones(3), torch.ones(2)]])
    with pytest.raises(ValueError, match="doesn't match the size"):
        optim.Adam(parameters([(3,)])).load_state_dict(saved.state_dict())
    other = optim.Adam(parameters([(3,), (5,)], torch.float32))
    with pytest.raises(RuntimeError, match=r"state 'exp_avg' has shape \(2,\), its parameter \(5,\)"):
        other.load_state_dict(saved.state_dict())
        run(other, [[torch.ones(3), torch.ones(5)]])


def test_adagrad_has_its_state_from_the_start():
    """As in torch, whose class would fail on a checkpoint without it."""
    ours, theirs = parameters([(3,)], torch.float32), parameters([(3,)], torch.float32)
    mine = optim.Adagrad(ours, initial_accumulator_value=0.5)
    other = torch.optim.Adagrad(theirs, initial_accumulator_value=0.5)
    other.load_state_dict(copy.deepcopy(mine.state_dict()))  # torch would share the tensors
    for optimizer in (mine, other):
        run(optimizer, [[torch.ones(3)]])
    assert torch.allclose(ours[0], theirs[0])


def test_load_hooks_are_heard():
    """A hook that changes the checkpoint counts, and one after loading sees, and may change, the result."""
    [p] = parameters([(3,)], torch.float32)
    saved = optim.Adam([p])
    run(saved, [[torch.ones(3)]] * 2)
    seen = []

    def double(optimizer, state_dict):
        changed = copy.deepcopy(state_dict)
        changed["state"][0]["exp_avg"] *= 2
        return changed

    def note(optimizer):
        seen.append(optimizer.state[p]["exp_avg"].clone())
        optimizer.state[p]["exp_avg_sq"].fill_(7.0)

    loaded = optim.Adam([p])
    loaded.register_load_state_dict_pre_hook(double)
    loaded.register_load_state_dict_post_hook(note)
    loaded.load_state_dict(saved.state_dict())
    assert torch.equal(seen[0], 2 * saved.state[p]["exp_avg"])
    assert torch.equal(loaded.state[p]["exp_avg"], seen[0])
    assert torch.equal(loaded.state[p]["exp_avg_sq"], torch.full((3,), 7.0))


def named(order, **settings):
    """An optimizer over named parameters of different shapes."""
    shapes = {"w": (3,), "b": (2,), "scale": (3,)}
    params = {name: torch.nn.Parameter(torch.ones(shapes[name])) for name in order}
    return params, optim.Adam(list(params.items()), **settings)


def test_names_say_which_parameter_is_which():
    params, saved = named(["w", "b", "scale"])
    for index, p in enumerate(params.values()):
        p.grad = torch.full_like(p, 1.0 + index)
    saved.step()
    others, loaded = named(["scale", "w", "b"])
    loaded.load_state_dict(through_a_file(saved.state_dict()))
    for name, p in others.items():
        assert torch.equal(loaded.state[p]["exp_avg"], saved.state[params[name]]["exp_avg"])
    assert loaded.state_dict()["param_groups"][0]["param_names"] == ["scale", "w", "b"]
    _, fewer = named(["w", "b"])
    with pytest.raises(ValueError, match=r"group 0 .* lacks none, and has scale"):
        fewer.load_state_dict(saved.state_dict())


def test_a_state_of_another_shape_is_told_by_name_and_nothing_is_taken_over():
    params, saved = named(["w", "b"])
    for p in params.values():
        p.grad = torch.ones_like(p)
    saved.step()
    state_dict = saved.state_dict()
    state_dict["state"][1]["exp_avg_sq"] = torch.ones(7)
    _, loaded = named(["w", "b"], lr=0.5)
    with pytest.raises(RuntimeError, match=r"parameter b: state 'exp_avg_sq' has shape \(7,\), its parameter \(2,\)"):
        loaded.load_state_dict(state_dict)
    assert not loaded.state and loaded.param_groups[0]["lr"] == 0.5


def test_what_a_checkpoint_overrides_is_told():
    [p] = parameters([(3,)], torch.float32)
    saved = optim.AdamW([p], lr=0.1, weight_decay=0.3, fused=True)
    schedule = optim.lr_scheduler.StepLR(saved, 1)
    saved.step()
    schedule.step()
    with pytest.warns(UserWarning, match=r"the checkpoint sets weight_decay=0\.3 \(was 0\.5\)$"):
        loaded = optim.AdamW([p], lr=0.1, weight_decay=0.5)
        loaded.load_state_dict(saved.state_dict())  # lr: where the schedule began is as it was
    assert loaded.param_groups[0]["fused"] is None  # a switch between implementations is no state
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded.load_state_dict(saved.state_dict())


class _Untold:
    def __eq__(self, other: object) -> bool:
        return isinstance(other, bool)


UNTOLD = _Untold()


@pytest.mark.parametrize("subject", BOTH, ids=str)
def test_converting_there_and_back_changes_nothing(subject):
    theirs, ours = parameters(SHAPES, torch.float32), parameters(SHAPES, torch.float32)
    other, mine = subject.build_torch(theirs), subject.build(ours)
    for optimizer in (other, mine):
        if subject.entry.rule.sparse != "only":
            run(optimizer, GIVEN[:3])
    for saved, ways in (
        (other.state_dict(), ("torch", "thalweg")),
        (mine.state_dict(), ("thalweg", "torch")),
    ):
        there = optim.convert(saved, from_=ways[0], to=ways[1])
        back = optim.convert(there, from_=ways[1], to=ways[0])
        if ways[0] == "thalweg" and "decoupled_weight_decay" not in torch.optim.AdamW(theirs).defaults:
            # Before torch 2.7 Adam's and AdamW's checkpoints look alike: which it is, the class that loads it says.
            back["param_groups"] = [{"decoupled_weight_decay": UNTOLD, **group} for group in back["param_groups"]]
        assert_same(back, saved, () if ways[0] == "torch" else subject.entry.rule.carried)
    converted = optim.convert(mine.state_dict(), from_="thalweg", to="torch")
    assert converted["param_groups"][0].keys() == other.state_dict()["param_groups"][0].keys()
    other.load_state_dict(converted)


def assert_same(one, two, shortened=()):
    """`shortened`: the numbers that torch has in fewer bits."""
    assert one.keys() == two.keys()
    for a, b in zip(one["param_groups"], two["param_groups"], strict=True):
        assert a == b
    for place, state in two["state"].items():
        for name, value in state.items():
            held = one["state"][place][name]
            if name in shortened:
                value = value.to(held.dtype)
            assert held is value or torch.equal(held, value)


def test_what_torch_has_no_words_for_is_not_converted():
    [p] = parameters([(3,)], torch.float32)
    with pytest.raises(ValueError, match="bias_correction=False: torch's class has no such setting"):
        optim.convert(optim.Adam([p], bias_correction=False).state_dict(), from_="thalweg", to="torch")
    half = torch.nn.Parameter(torch.ones(3, dtype=torch.bfloat16))
    optimizer = optim.Adam([half], rounding="master")
    run(optimizer, [[torch.ones_like(half)]])
    with pytest.raises(ValueError, match="parameter 0 has a 'master'"):
        optim.convert(optimizer.state_dict(), from_="thalweg", to="torch")
    with pytest.raises(ValueError, match="from_='jax', to='torch': allowed are"):
        optim.convert(optimizer.state_dict(), from_="jax", to="torch")
    with pytest.raises(ValueError, match="is of no class that torch has, too"):
        optim.convert(optim.Lion([p]).state_dict(), from_="thalweg", to="torch")
