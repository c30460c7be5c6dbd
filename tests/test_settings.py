"""What counts as a number, a pair and a switch: what torch takes is taken, and kept as Python has it."""

import warnings

import numpy as np
import pytest
import torch

import thalweg.optim as optim


def moved(**settings):
    """A parameter after two steps, and the group that took it there."""
    p = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = optim.AdamW([p], **settings)
    for _ in range(2):
        p.grad = torch.tensor([0.5, 1.0])
        optimizer.step()
    return p.tolist(), optimizer.param_groups[0]


@pytest.mark.parametrize(
    "name, value, same",
    [
        ("lr", np.array(0.25), 0.25),
        ("lr", np.array([0.25]), 0.25),
        ("lr", np.float32(0.25), 0.25),
        ("eps", np.float64(0.25), 0.25),
        ("lr", True, 1),
        ("weight_decay", False, 0),
        ("betas", np.array([0.5, 0.75]), (0.5, 0.75)),
        ("betas", torch.tensor([0.5, 0.75]), (0.5, 0.75)),
        ("betas", (np.float32(0.5), np.array(0.75)), (0.5, 0.75)),
        ("maximize", 1, True),
        ("maximize", 0, False),
        ("maximize", np.bool_(True), True),
        ("maximize", torch.tensor(True), True),
        ("decoupled_weight_decay", 1, True),
    ],
)
def test_numbers_pairs_and_switches_of_other_libraries_do_what_pythons_do(name, value, same):
    found, group = moved(**{name: value})
    expected, _ = moved(**{name: same})
    assert found == expected
    assert group[name] == same
    kept = group[name][0] if isinstance(same, tuple) else group[name]
    assert isinstance(kept, torch.Tensor) or type(kept) in (float, int, bool)


def test_a_group_takes_them_too():
    a, b = (torch.nn.Parameter(torch.ones(1)) for _ in range(2))
    optimizer = optim.SGD([{"params": [a]}, {"params": [b], "maximize": 1, "lr": np.array(0.5)}], lr=0.5)
    assert [(type(each["lr"]), each["maximize"]) for each in optimizer.param_groups] == [(float, False), (float, True)]


def test_one_that_is_set_between_steps_is_read():
    p = torch.nn.Parameter(torch.ones(1))
    optimizer = optim.AdamW([p], lr=0.5)
    optimizer.param_groups[0].update(lr=np.array(0.25), betas=np.array([0.5, 0.75]))
    p.grad = torch.ones(1)
    optimizer.step()
    assert p.item() == pytest.approx(1 - 0.25 * 0.01 - 0.25, rel=1e-5)


def stepped(name, value, **settings):
    """Adam's parameter before and after a step with a setting that was changed after the first."""
    p = torch.nn.Parameter(torch.ones(3))
    optimizer = optim.Adam([p], **settings)
    p.grad = torch.ones(3)
    optimizer.step()
    before = p.detach().clone()
    optimizer.param_groups[0][name] = value
    try:
        optimizer.step()
    except (ValueError, TypeError):
        assert torch.equal(p, before) and optimizer.state[p]["step"] == 1
        raise
    return before, p.detach()


@pytest.mark.parametrize("engine", ["reference", "cpu"])
@pytest.mark.parametrize(
    "name, value",
    [
        ("lr", float("nan")),
        ("lr", torch.tensor(float("nan"))),
        ("lr", np.float32("nan")),
        ("betas", (0.9, float("nan"))),
        ("betas", (0.9, 1.5)),
        ("betas", (-0.1, 0.9)),
        ("weight_decay", float("nan")),
        ("gradient_scale", float("nan")),
    ],
)
def test_what_a_setting_was_changed_to_is_looked_at_before_anything_moves(name, value, engine):
    with pytest.raises(ValueError, match=f"{name}=.* in a parameter group: a step needs a number"):
        stepped(name, value, engine=engine)


@pytest.mark.parametrize("name, value", [("lr", [0.1]), ("lr", np.ones(2)), ("betas", 0.9), ("betas", (0.9,) * 3)])
@pytest.mark.parametrize("engine", ["reference", "cpu"])
def test_several_numbers_in_place_of_one_are_no_setting(name, value, engine):
    with pytest.raises(TypeError, match=f"{name}=.* in a parameter group: a step needs (one number|2 numbers)"):
        stepped(name, value, engine=engine)


@pytest.mark.parametrize("cls, name", [("Adam", "amsgrad"), ("Adam", "maximize"), ("SGD", "nesterov")])
@pytest.mark.parametrize("word", ["no", "yes", 0.5])
def test_a_switch_that_was_changed_to_a_word_is_refused_before_anything_moves(cls, name, word):
    p = torch.nn.Parameter(torch.ones(3))
    optimizer = getattr(optim, cls)([p], lr=0.1, **({"momentum": 0.9} if cls == "SGD" else {}))
    p.grad = torch.ones(3)
    optimizer.step()
    before = p.detach().clone()
    optimizer.param_groups[0][name] = word
    with pytest.raises(ValueError, match=f"Invalid {name} value: {word!r}"):
        optimizer.step()
    assert torch.equal(p, before)


@pytest.mark.parametrize("name", ["rounding", "cautious", "state_dtype", "decoupled_weight_decay"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_word_that_is_none_of_a_settings_is_refused_later_too(name, dtype):
    p = torch.nn.Parameter(torch.ones(3, dtype=dtype))
    optimizer = optim.Adam([p])
    p.grad = torch.ones_like(p)
    optimizer.param_groups[0][name] = "sideways"
    with pytest.raises(ValueError, match=f"Invalid {name} value: 'sideways'"):
        optimizer.step()
    assert torch.equal(p, torch.ones_like(p))


@pytest.mark.parametrize("name, value", [("lr", -0.5), ("weight_decay", -1.0), ("eps", -0.5)])
def test_what_is_below_a_range_later_is_taken_as_torch_takes_it(name, value):
    with pytest.warns(UserWarning, match=f"{name} in a parameter group was set outside of {name} >= 0"):
        before, after = stepped(name, value)
    p = torch.nn.Parameter(torch.ones(3))
    other = torch.optim.Adam([p])
    p.grad = torch.ones(3)
    other.step()
    other.param_groups[0][name] = value
    other.step()
    assert not torch.equal(before, after) and torch.allclose(after, p, rtol=1e-5)


def test_a_schedule_that_ends_a_rounding_below_0_is_told_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stepped("lr", -1e-19)


@pytest.mark.parametrize(
    "name, value",
    [
        ("lr", "0.1"),
        ("lr", None),
        ("lr", np.array([0.1, 0.2])),
        ("lr", np.array(float("nan"))),
        ("betas", "ab"),
        ("betas", {0.5: 0, 0.75: 0}),
        ("betas", {0.5, 0.75}),
        ("betas", 0.5),
        ("betas", np.array([0.5, 0.75, 0.9])),
        ("betas", np.array([0.5, 1.5])),
        ("maximize", 2),
        ("maximize", "yes"),
        ("maximize", None),
        ("rounding", 1),
    ],
)
def test_what_is_none_is_refused_by_its_name(name, value):
    with pytest.raises(ValueError, match=r"[Ii]nvalid (learning rate|betas?|maximize|rounding)|Tensor lr"):
        moved(**{name: value})


@pytest.mark.parametrize("key", ["no_weight_decay", "eps2", "lr_scale", "weight_decay_mult", "momentum_2", "name"])
def test_a_groups_own_keys_are_no_misspelling(key):
    optimizer = optim.AdamW([{"params": [torch.nn.Parameter(torch.ones(1))], key: 3}])
    assert optimizer.param_groups[0][key] == 3


@pytest.mark.parametrize(
    "key, meant", [("weight_decy", "weight_decay"), ("beta", "betas"), ("weigth_decay", "weight_decay")]
)
def test_a_misspelling_is_refused(key, meant):
    with pytest.raises(ValueError, match=f"{key}.*did you mean '{meant}'"):
        optim.AdamW([{"params": [torch.nn.Parameter(torch.ones(1))], key: 0.1}])
