"""The two modes of the Schedule-Free classes: x to evaluate, y to train, and nothing lost between them."""

import copy
import io
import pickle
from functools import partial

import numpy as np
import papers_modern
import pytest
import torch
from subjects import gradients, parameters, run

import thalweg.optim as optim

CLASSES = {
    "schedule_free_sgd": partial(optim.ScheduleFreeSGD, lr=0.05),
    "schedule_free_adamw": partial(optim.ScheduleFreeAdamW, betas=(0.8, 0.95)),
    "schedule_free_radam": partial(optim.ScheduleFreeRAdam, silent_sgd_phase=False),
}
SHAPES = [(7, 5), (3,), (), (0, 4)]
every = pytest.mark.parametrize("name", CLASSES)


def stepped(name, steps=10, dtype=torch.float64, **more):
    params = parameters(SHAPES, dtype)
    optimizer = CLASSES[name](params, **more)
    run(optimizer, gradients(SHAPES, steps, dtype))
    return params, optimizer


def copies(params):
    return [p.detach().clone() for p in params]


def equal(ones, others):
    return all(torch.equal(p, q) for p, q in zip(ones, others, strict=True))


@every
@pytest.mark.parametrize("schedule", [False, True], ids=["steady", "schedule"])
def test_eval_shows_the_papers_average(name, schedule):
    """Under a learning rate that goes up and down, too, so that its maximum and its present value part."""
    [p] = parameters([(7, 5)])
    start, steps = p.detach().numpy().copy(), 120
    optimizer = CLASSES[name]([p])
    given = gradients([(7, 5)], steps)
    rate = (lambda t: 0.01 * (1 + t % 7)) if schedule else (lambda t: optimizer.defaults["lr"])
    for t, step in enumerate(given, start=1):
        optimizer.param_groups[0]["lr"] = rate(t)
        run(optimizer, [step])
    settings = {**CLASSES[name].keywords, "lr": rate}
    paper = getattr(papers_modern, name)(start, lambda _, t: given[t - 1][0].numpy(), steps=steps, **settings)
    # The sums of weights are kept in float32, as the step count is.
    tolerance = 10 * torch.finfo(torch.float32).eps
    assert np.allclose(p.detach().numpy(), paper.lookahead[-1], rtol=tolerance, atol=tolerance)
    optimizer.eval()
    assert np.allclose(p.detach().numpy(), paper.path[-1], rtol=tolerance, atol=tolerance)
    assert not np.allclose(paper.path[-1], paper.lookahead[-1], rtol=100 * tolerance, atol=100 * tolerance)


@every
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.complex64], ids=str)
@pytest.mark.parametrize("rounding", ["stochastic", "kahan", "master", "nearest"])
def test_there_and_back_changes_no_bit(name, dtype, rounding):
    if dtype == torch.complex64:
        params = [torch.nn.Parameter(torch.view_as_complex(p.float())) for p in parameters([(4, 2), (5, 3, 2)])]
        optimizer = CLASSES[name](params, rounding=rounding)
        run(optimizer, [copies(params)] * 4)
    else:
        params, optimizer = stepped(name, 40, dtype, rounding=rounding, lr=0.1)  # x and y part in bfloat16
    assert optimizer.training
    y, before = copies(params), copy.deepcopy(optimizer.state_dict())
    assert optimizer.eval() is optimizer.eval() and not optimizer.training
    assert not equal(params, y)
    assert optimizer.train() is optimizer.train() and optimizer.training
    assert equal(params, y)
    after = optimizer.state_dict()
    assert before["param_groups"] == after["param_groups"]
    for place, state in before["state"].items():
        assert state.keys() == after["state"][place].keys()
        assert all(torch.equal(state[key], after["state"][place][key]) for key in state)


@every
@pytest.mark.parametrize("rounding", ["stochastic", "kahan", "master"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_looking_now_and_then_changes_no_bit_of_a_run(name, rounding, dtype):
    steady, _ = stepped(name, 20, dtype, rounding=rounding)
    params = parameters(SHAPES, dtype)
    optimizer = CLASSES[name](params, rounding=rounding)
    for step in gradients(SHAPES, 20, dtype):
        optimizer.train()
        run(optimizer, [step])
        optimizer.eval()
    optimizer.train()
    assert equal(params, steady)


@every
def test_a_step_in_eval_mode_is_refused_before_anything_moves(name):
    params, optimizer = stepped(name)
    optimizer.eval()
    x, calls = copies(params), []
    optimizer.register_step_pre_hook(lambda *_: calls.append("hook"))
    with pytest.raises(RuntimeError, match=r"step\(\) in eval mode.*call optimizer.train\(\)"):
        optimizer.step(lambda: calls.append("closure"))
    release = optim.release_gradients(torch.nn.ParameterList(params), optimizer)
    with pytest.raises(RuntimeError, match="in eval mode"):
        params[0].sum().backward()
    release.remove()
    assert equal(params, x) and calls == []
    assert all(state["step"] == 10 for state in optimizer.state.values())


@every
@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("way", ["state_dict", "pickle", "deepcopy"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_checkpoint_of_either_mode_goes_on_exactly(name, mode, way, dtype):
    steady, _ = stepped(name, 20, dtype)
    params = parameters(SHAPES, dtype)
    optimizer = CLASSES[name](params)
    given = gradients(SHAPES, 20, dtype)
    run(optimizer, given[:9])
    getattr(optimizer, mode)()
    if way == "state_dict":
        file = io.BytesIO()
        torch.save({"model": copies(params), "optimizer": optimizer.state_dict()}, file)
        file.seek(0)
        saved = torch.load(file, weights_only=True)
        params = [torch.nn.Parameter(p) for p in saved["model"]]
        again = CLASSES[name](params)
        again.load_state_dict(saved["optimizer"])
    else:
        again = pickle.loads(pickle.dumps(optimizer)) if way == "pickle" else copy.deepcopy(optimizer)
        params = again.param_groups[0]["params"]
    assert again.training == (mode == "train")
    run(again.train(), given[9:])
    assert equal(params, steady)


def test_loading_a_checkpoint_of_the_other_mode_changes_the_mode():
    _, saved = stepped("schedule_free_sgd")
    _, loading = stepped("schedule_free_sgd")
    loading.eval()
    loading.load_state_dict(copy.deepcopy(saved.state_dict()))
    assert loading.training and "y" not in loading.state[loading.param_groups[0]["params"][0]]
    loading.load_state_dict(copy.deepcopy(saved.eval().state_dict()))
    assert not loading.training


def test_a_parameter_that_was_never_stepped_stays():
    params = parameters([(3,), (4,)])
    optimizer = optim.ScheduleFreeSGD(params, lr=0.1)
    start = params[1].detach().clone()
    for g in torch.randn(3, 3, dtype=torch.float64):
        params[0].grad = g
        optimizer.step()
    optimizer.eval()
    assert torch.equal(params[1], start) and params[1] not in optimizer.state
    assert torch.equal(optimizer.train().param_groups[0]["params"][1], start)


def test_a_group_that_is_added_later_has_the_mode_of_the_others():
    _, optimizer = stepped("schedule_free_adamw")
    optimizer.eval()
    [late] = parameters([(4,)], seed=5)
    optimizer.add_param_group({"params": [late], "betas": (0.6, 0.9)})
    assert not optimizer.training and optimizer.param_groups[1]["train_mode"] is False
    optimizer.train()
    run(optimizer, gradients([*SHAPES, (4,)], 3))
    y, z = late.detach().clone(), optimizer.state[late]["z"]
    optimizer.eval()
    assert torch.allclose(late, y + (1 - 1 / 0.6) * (z - y), rtol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_what_is_written_in_eval_mode_is_the_new_average(dtype):
    """As when the best model so far is loaded back into it."""
    params, optimizer = stepped("schedule_free_sgd", dtype=dtype, momentum=0.8)
    optimizer.eval()
    p = params[0]
    with torch.no_grad():
        p.fill_(2.0)
    z = optimizer.state[p]["z"]
    optimizer.train()
    assert torch.equal(p, torch.lerp(torch.full_like(z, 2.0), z, 1 - 0.8).to(dtype))
    optimizer.eval()
    assert torch.allclose(p, torch.full_like(p, 2.0), rtol=4 * torch.finfo(dtype).eps)


def test_without_a_momentum_there_is_no_average():
    with pytest.raises(ValueError, match=r"momentum=0.0: .*; allowed is 0 < momentum < 1"):
        optim.ScheduleFreeSGD(parameters([(2,)]), momentum=0.0)
    with pytest.raises(ValueError, match=r"betas\[0\]=0.0: .*; allowed is 0 < betas\[0\] < 1"):
        optim.ScheduleFreeAdamW([{"params": parameters([(2,)]), "betas": (0.0, 0.9)}])


def test_a_nan_shows_in_both_modes():
    [p] = parameters([(3,)])
    optimizer = optim.ScheduleFreeSGD([p])
    run(optimizer, [[torch.tensor([1.0, float("nan"), 1.0]).double()]])
    for _ in range(2):
        assert p.isnan().tolist() == [False, True, False]
        optimizer.eval()
        assert p.isnan().tolist() == [False, True, False]
        optimizer.train()


@pytest.mark.parametrize("name", ["ScheduleFreeSGD", "ScheduleFreeAdamW", "ScheduleFreeRAdam"])
@pytest.mark.parametrize("saved", [False, True])
def test_a_momentum_changed_in_eval_mode_does_not_move_y(name, saved):
    p = torch.nn.Parameter(torch.linspace(-1, 1, 5))
    optimizer = getattr(optim, name)([p], lr=0.1)
    for step in range(12):  # RAdam's first ones do not move
        p.grad = torch.linspace(1, 2, 5) * (step + 1)
        optimizer.step()
    y = p.detach().clone()
    optimizer.eval()
    assert not torch.equal(p, y)
    if saved:
        again = getattr(optim, name)([p], lr=0.1)
        again.load_state_dict(optimizer.state_dict())
        optimizer = again
    [group] = optimizer.param_groups
    group.update({"momentum": 0.5} if "momentum" in group else {"betas": (0.5, 0.99)})
    optimizer.train()
    assert torch.equal(p, y)
    assert group.keys() == getattr(optim, name)([p], lr=0.1).param_groups[0].keys() | {"train_mode"}
