"""Adafactor: against torch's class and the paper's form elsewhere; tensors of all kinds; every setting of ours."""

import copy

import numpy as np
import papers_matrix
import pytest
import torch
from subjects import gradients, parameters, run

import thalweg.optim as optim
from thalweg.rules.adafactor import norms

SHAPES = [(7, 5), (4, 3, 2, 2), (6,), ()]
SETTINGS = [
    {},
    {"lr": 0.3, "beta2_decay": -0.5, "eps": (1e-3, 1e-2), "d": 1.5, "weight_decay": 0.3},
    {"maximize": True, "eps": (0.1, 0.0)},
]
OWN = [
    {"relative_step": False, "scale_parameter": False, "beta1": 0.9},
    {"warmup_init": True, "add_eps": True, "beta1": 0.5, "weight_decay": 0.1},
    {"add_eps": True, "eps": (1e-2, 1e-1), "scale_parameter": False},
]


def values(params):
    return [p.detach().clone() for p in params]


@pytest.mark.parametrize("engine", ["reference", "cpu"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_it_is_torchs_over_200_steps(settings, dtype, engine):
    mine, theirs, given = parameters(SHAPES, dtype), parameters(SHAPES, dtype), gradients(SHAPES, 200, dtype)
    ours, torchs = optim.Adafactor(mine, engine=engine, **settings), torch.optim.Adafactor(theirs, **settings)
    run(ours, given)
    run(torchs, given)
    within = 1e-10 if dtype == torch.float64 else 2e-4
    for p, q in zip(mine, theirs, strict=True):
        torch.testing.assert_close(p, q, rtol=within, atol=within)
        assert ours.state[p].keys() == torchs.state[q].keys()
        for name, value in torchs.state[q].items():
            torch.testing.assert_close(ours.state[p][name].to(value.dtype), value, rtol=within, atol=within)


@pytest.mark.parametrize("settings", OWN, ids=str)
@pytest.mark.parametrize("engine", ["reference", "cpu"])
def test_its_other_forms_are_the_papers(settings, engine):
    params, given = parameters(SHAPES), gradients(SHAPES, 50)
    starts = [p.detach().numpy().copy() for p in params]
    run(optim.Adafactor(params, engine=engine, **settings), given)
    for index, (p, start) in enumerate(zip(params, starts, strict=True)):
        gradient = lambda _, t, index=index: given[t - 1][index].numpy()  # noqa: E731
        paper = papers_matrix.adafactor(start, gradient, steps=50, decoupled=True, **settings)
        np.testing.assert_allclose(p.detach().numpy(), paper.path[-1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("warmup_init", [False, True])
@pytest.mark.parametrize("beta1", [None, 0.9])
def test_the_papers_form_is_that_of_transformers(beta1, warmup_init):
    theirs = pytest.importorskip("transformers.optimization").Adafactor
    mine, other, given = parameters(SHAPES), parameters(SHAPES), gradients(SHAPES, 30)
    run(optim.Adafactor(mine, add_eps=True, beta1=beta1 or 0.0, warmup_init=warmup_init), given)
    run(theirs(other, beta1=beta1, warmup_init=warmup_init), given)
    for p, q in zip(mine, other, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-9, atol=1e-9)


def test_checkpoints_go_both_ways():
    given = gradients(SHAPES, 20, torch.float32)
    mine, theirs = parameters(SHAPES, torch.float32), parameters(SHAPES, torch.float32)
    ours, torchs = optim.Adafactor(mine), torch.optim.Adafactor(theirs)
    run(ours, given[:10])
    run(torchs, given[:10])
    ours_saved, torchs_saved = copy.deepcopy(ours.state_dict()), copy.deepcopy(torchs.state_dict())
    ours.load_state_dict(torchs_saved)
    torchs.load_state_dict(optim.convert(ours_saved, from_="thalweg", to="torch"))
    run(ours, given[10:])
    run(torchs, given[10:])
    for p, q in zip(mine, theirs, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("settings", [{}, {"beta1": 0.9}, {"beta1": 0.9, "state_dtype": "int8"}], ids=str)
def test_resuming_changes_no_bit(settings):
    given = gradients(SHAPES, 20, torch.float32)
    steady, begun = parameters(SHAPES, torch.float32), parameters(SHAPES, torch.float32)
    run(optim.Adafactor(steady, **settings), given)
    first = optim.Adafactor(begun, **settings)
    run(first, given[:9])
    again = optim.Adafactor(begun, **settings)
    again.load_state_dict(copy.deepcopy(first.state_dict()))
    run(again, given[9:])
    assert all(torch.equal(p, q) for p, q in zip(begun, steady, strict=True))


def test_a_state_of_another_kind_of_tensor_is_refused():
    given = gradients([(4, 3)], 2, torch.float32)
    [p], [q] = parameters([(4, 3)], torch.float32), parameters([(12,)], torch.float32)
    first, other = optim.Adafactor([p]), optim.Adafactor([q])
    run(first, given)
    with pytest.raises(ValueError, match="lacks variance"):
        other.load_state_dict(copy.deepcopy(first.state_dict()))
    saved = copy.deepcopy(first.state_dict())
    del saved["state"][0]["col_var"]
    with pytest.raises(ValueError, match="lacks col_var"):
        first.load_state_dict(saved)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("rounding", ["stochastic", "master"])
def test_16_bit_weights_train(dtype, rounding):
    [p], given = parameters([(32, 32)], dtype), gradients([(32, 32)], 50, dtype)
    wide, start = torch.nn.Parameter(p.detach().float()), p.detach().clone()
    optimizer = optim.Adafactor([p], lr=1e-3, rounding=rounding)
    run(optimizer, given)
    run(optim.Adafactor([wide], lr=1e-3), [[g.float() for g in step] for step in given])
    assert (p != start).float().mean() > 0.5 and optimizer.state[p]["row_var"].dtype == torch.float32
    spacing = float(torch.finfo(dtype).eps) * float(wide.detach().abs().max())
    assert (p.float() - wide).abs().max() < (2 * spacing if rounding == "master" else 10 * spacing)


def test_settings_of_ours_act():
    def stepped(given=None, shape=(6, 6), **settings):
        [p] = parameters([shape], torch.float32)
        run(optim.Adafactor([p], lr=0.1, **settings), given or gradients([shape], 3, torch.float32))
        return p.detach()

    plain = stepped()
    momentum = stepped(beta1=0.9)
    assert not torch.equal(stepped(beta1=0.9, cautious=True), momentum)
    assert not torch.equal(stepped(maximize=True), plain)
    assert not torch.equal(stepped(gradient_scale=0.01), plain) and not torch.equal(stepped(clip_norm=1e-3), plain)
    large = {"beta1": 0.9, "shape": (80, 80)}  # below 4,096 elements states are kept in full
    assert 0 < (stepped(**large, state_dtype="int8") - stepped(**large)).abs().max() < 0.02
    nan = gradients([(6, 6)], 3, torch.float32)
    nan[1][0][2, 2] = float("nan")
    assert stepped(given=nan).isnan().all()  # never hidden
    assert torch.isfinite(stepped(given=nan, on_nonfinite="skip_step")).all()


@pytest.mark.parametrize("size", [0.0, 1e-20, 1e15])
@pytest.mark.parametrize("settings", [{}, {"add_eps": True}], ids=str)
def test_small_and_large_gradients_leave_numbers(size, settings):
    params = parameters([(5, 4), (3,), (0, 4)], torch.float32)
    optimizer = optim.Adafactor(params, **settings)
    run(optimizer, [[size * g for g in step] for step in gradients([(5, 4), (3,), (0, 4)], 5, torch.float32)])
    assert all(p.isfinite().all() for p in params)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"lr": -1.0}, "learning rate"), ({"beta2_decay": 0.1}, "beta2_decay should be <= 0"),
        ({"eps": (-1.0, 1e-3)}, "epsilon"), ({"eps": (None, None)}, "epsilon"), ({"d": 0.5}, "d should be >= 1"),
        ({"beta1": 1.0}, "beta1"), ({"state_dtype": "int8"}, "no state that may be kept small"),
        ({"warmup_init": True, "relative_step": False}, "warmup_init=True with relative_step=False"),
    ],
    ids=str,
)  # fmt: skip
def test_wrong_settings_are_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        optim.Adafactor(parameters(SHAPES), **settings)


@pytest.mark.parametrize("shape", [(6, 4), (5,), (2, 3, 4)])
def test_tensors_of_one_shape_step_at_once_as_they_do_alone(shape):
    together, given = parameters([shape] * 3, torch.float64), gradients([shape] * 3, 10, torch.float64)
    run(optim.Adafactor(together, lr=0.1, beta1=0.9), given)
    for index, p in enumerate(parameters([shape] * 3, torch.float64)):
        run(optim.Adafactor([p], lr=0.1, beta1=0.9), [[step[index]] for step in given])
        torch.testing.assert_close(together[index], p, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", [1.0, 1e-25, 1e25, torch.nan])
def test_the_norms_of_a_stack_are_those_of_its_parts(size):
    stack = torch.ones(3, 4, 5)
    stack[1] *= size
    wanted = torch.tensor([20**0.5, size * 20**0.5, 20**0.5]).reshape(3, 1, 1)
    torch.testing.assert_close(norms(stack), wanted, rtol=1e-6, atol=0.0, equal_nan=True)
