"""AdaHessian's curvature: exact where it can be, right on average, the same after resume, and no graph is left."""

import copy
import gc
import weakref

import pytest
import torch
from subjects import parameters

import thalweg.optim as optim


def network(dtype=torch.float64):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1)).to(dtype)
    x, y = torch.randn(20, 3, dtype=dtype), torch.randn(20, 1, dtype=dtype)
    return model, lambda: torch.nn.functional.mse_loss(model(x), y)


def by_estimate(optimizer, loss_of):
    optimizer.zero_grad()
    optimizer.estimate(loss_of())
    optimizer.step()


def by_backward(optimizer, loss_of):
    optimizer.zero_grad()
    loss_of().backward(create_graph=True)
    optimizer.step()


def by_closure(optimizer, loss_of):
    def closure():
        optimizer.zero_grad()
        loss = loss_of()
        loss.backward(create_graph=True)
        return loss

    assert optimizer.step(closure).requires_grad


WAYS = [by_estimate, by_backward, by_closure]
every_way = pytest.mark.parametrize("way", WAYS)


def trained(way, steps=5, **settings):
    model, loss_of = network()
    optimizer = optim.AdaHessian(model.parameters(), **settings)
    for _ in range(steps):
        way(optimizer, loss_of)
    return [p.detach().clone() for p in model.parameters()]


def hessian_of(optimizer):
    return [state["hessian_diag"] for state in optimizer.state.values()]


@every_way
def test_of_a_diagonal_hessian_the_estimate_is_exact(way):
    p = torch.nn.Parameter(torch.tensor([0.5, -1.0, 2.0]))
    c = torch.tensor([1.0, 2.0, 3.0])
    optimizer = optim.AdaHessian([p], lr=1e-9)
    way(optimizer, lambda: (c * p**3).sum())
    assert torch.allclose(hessian_of(optimizer)[0], 6 * c * torch.tensor([0.5, -1.0, 2.0]))
    assert torch.allclose(p.grad, 3 * c * p.detach() ** 2)


def test_the_ways_are_one():
    first, *others = [trained(way) for way in WAYS]
    for other in others:
        assert all(torch.equal(p, q) for p, q in zip(first, other, strict=True))


def test_on_average_the_estimate_is_the_diagonal():
    """The mean of n estimates is off by about a deviation over sqrt(n), and this one is known: off the diagonal lie the
    errors, so the variance of element i is the sum of H_ij^2 over the other j."""
    model, loss_of = network()
    params = list(model.parameters())
    flat = torch.cat([p.detach().flatten() for p in params])

    def loss_at(values):
        parts, start = {}, 0
        for name, p in model.named_parameters():
            parts[name], start = values[start : start + p.numel()].view_as(p), start + p.numel()
        torch.manual_seed(0)
        torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
        x, y = torch.randn(20, 3, dtype=torch.float64), torch.randn(20, 1, dtype=torch.float64)
        return torch.nn.functional.mse_loss(torch.func.functional_call(model, parts, x), y)

    hessian = torch.autograd.functional.hessian(loss_at, flat)
    count, total = 400, torch.zeros_like(flat)
    optimizer = optim.AdaHessian(params, lr=0.0)
    for _ in range(count):
        by_estimate(optimizer, loss_of)
        total += torch.cat([h.flatten() for h in hessian_of(optimizer)])
    deviation = ((hessian**2).sum(1) - hessian.diag() ** 2).sqrt()
    assert ((total / count - hessian.diag()).abs() <= 5 * deviation / count**0.5).all()


@every_way
@pytest.mark.parametrize("settings", [{}, {"update_each": 3}], ids=str)
def test_resuming_changes_no_bit(way, settings):
    steady = trained(way, 12, **settings)
    model, loss_of = network()
    optimizer = optim.AdaHessian(model.parameters(), **settings)
    for _ in range(5):
        way(optimizer, loss_of)
    torch.rand(17)  # what others draw is no matter
    again = optim.AdaHessian(model.parameters(), **settings)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for _ in range(7):
        way(again, loss_of)
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), steady, strict=True))


def test_the_seed_chooses_the_signs_and_each_step_and_place_has_its_own():
    one, other = trained(by_estimate, seed=0), trained(by_estimate, seed=1)
    assert not any(torch.equal(p, q) for p, q in zip(one, other, strict=True))
    # Of x_i y_i in pairs the Hessian is all off the diagonal: the estimate is the product of two signs.
    x, y = parameters([(64,), (64,)])
    optimizer = optim.AdaHessian([x, y], lr=0.0)
    seen = []
    for _ in range(3):
        by_estimate(optimizer, lambda: (x * y).sum())
        seen.append(optimizer.state[x]["hessian_diag"].clone())
        assert seen[-1].abs().eq(1).all() and 10 < (seen[-1] == 1).sum() < 54
    assert not torch.equal(seen[0], seen[1]) and not torch.equal(seen[1], seen[2])
    for _ in range(2):  # two estimates for one step have signs of their own
        optimizer.estimate((x * y).sum())
    assert (optimizer.state[x]["hessian_diag"] == 0).any()


@pytest.mark.parametrize("way", [by_estimate, by_backward])
def test_nothing_holds_the_graph_when_the_step_is_done(way):
    """torch warns that create_graph leaves a cycle of parameter, gradient and graph. With the collector off it would
    stay for good."""

    class Token:
        pass

    class Marked(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.token = Token()  # lives as long as the graph does
            tokens.append(weakref.ref(ctx.token))
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            return g

    model, loss_of = network()
    optimizer = optim.AdaHessian(model.parameters())
    way(optimizer, loss_of)
    gc.collect()
    gc.disable()
    try:
        tokens = []
        for _ in range(3):
            way(optimizer, lambda: Marked.apply(loss_of()))
        assert [token() for token in tokens] == [None] * 3
    finally:
        gc.enable()
    assert all(not p.grad.requires_grad for p in model.parameters())
    assert all(not h.requires_grad for h in hessian_of(optimizer))


def test_without_a_graph_a_step_is_refused_before_anything_moves():
    model, loss_of = network()
    optimizer = optim.AdaHessian(model.parameters())
    before = [p.detach().clone() for p in model.parameters()]
    loss_of().backward()
    with pytest.raises(
        RuntimeError, match=r"have no graph .* optimizer.estimate\(loss\) in place of loss.backward\(\)"
    ):
        optimizer.step()
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True)) and not optimizer.state
    by_estimate(optimizer, loss_of)
    with pytest.raises(RuntimeError, match="have no graph"):
        optimizer.step()  # an estimate is for one step
    optimizer.zero_grad()
    optimizer.step()  # no gradient, nothing to do


def test_hooks_and_a_guard_see_a_step_as_any():
    model, loss_of = network()
    optimizer = optim.AdaHessian(model.parameters(), clip_norm=1e-3)
    calls = []
    optimizer.register_step_pre_hook(lambda *_: calls.append("before"))
    optimizer.register_step_post_hook(lambda *_: calls.append("after"))
    for way in WAYS:
        way(optimizer, loss_of)
    assert calls == ["before", "after"] * 3 and optimizer.guard.clipped_steps == 3


def test_two_losses_add_up():
    """Gradients and curvature of a sum; and a gradient scale scales both."""
    p, q = torch.nn.Parameter(torch.tensor([0.5, -1.0])), torch.nn.Parameter(torch.tensor([0.5, -1.0]))
    parts, whole = optim.AdaHessian([p], gradient_scale=0.5), optim.AdaHessian([q])
    for _ in range(3):
        for optimizer in (parts, whole):
            optimizer.zero_grad()
        parts.estimate((p**3).sum())
        parts.estimate((p**4).sum())
        whole.estimate(0.5 * (q**3 + q**4).sum())
        parts.step()
        whole.step()
    assert torch.allclose(p, q, rtol=1e-5)
    assert torch.allclose(hessian_of(parts)[0], hessian_of(whole)[0], rtol=1e-5)


def test_an_estimate_every_so_many_steps():
    p = torch.nn.Parameter(torch.tensor([1.0]))
    optimizer = optim.AdaHessian([p], lr=0.1, update_each=3)
    seen = []
    for step in range(6):
        optimizer.zero_grad()
        (p**4).sum().backward(create_graph=step % 3 == 0)  # no graph is asked for in between
        optimizer.step()
        seen.append(hessian_of(optimizer)[0].item())
    assert seen[0] == seen[1] == seen[2] != seen[3] == seen[4] == seen[5]


def test_kernels_of_a_convolution_are_averaged():
    torch.manual_seed(0)
    model = torch.nn.Conv2d(2, 3, 3).double()
    x = torch.randn(4, 2, 6, 6, dtype=torch.float64)
    kept = {}
    for average in (False, True):
        optimizer = optim.AdaHessian(model.parameters(), lr=0.0, average_conv_kernel=average)
        by_estimate(optimizer, lambda: model(x).square().sum())
        kept[average] = hessian_of(optimizer)
    assert torch.allclose(kept[True][0], kept[False][0].mean((2, 3), keepdim=True).expand(3, 2, 3, 3))
    assert torch.equal(kept[True][1], kept[False][1])


def test_a_parameter_without_part_in_the_loss_or_without_curvature():
    a, b, c = parameters([(3,), (3,), (3,)])
    optimizer = optim.AdaHessian([a, b, c])
    optimizer.estimate((a**2 + 5 * b).sum())
    assert torch.equal(optimizer.state[a]["hessian_diag"], torch.full((3,), 2.0).double())
    assert torch.equal(optimizer.state[b]["hessian_diag"], torch.zeros(3).double())
    assert c.grad is None and c not in optimizer.state
    optimizer.step()
    assert optimizer.state[b]["step"] == 1


@pytest.mark.parametrize("rounding", ["stochastic", "master"])
def test_half_precision_has_curvature_in_float32(rounding):
    model, loss_of = network(torch.bfloat16)
    optimizer = optim.AdaHessian(model.parameters(), lr=0.05, rounding=rounding)
    first = loss_of().item()
    for _ in range(30):
        by_estimate(optimizer, loss_of)
    assert loss_of().item() < 0.9 * first
    assert all(h.dtype == torch.float32 for h in hessian_of(optimizer))


def test_it_learns():
    model, loss_of = network()
    optimizer = optim.AdaHessian(model.parameters())
    first = loss_of().item()
    for _ in range(50):
        by_estimate(optimizer, loss_of)
    assert loss_of().item() < 0.8 * first


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="differentiable=True: AdaHessian frees the graph"):
        optim.AdaHessian(parameters([(2,)]), differentiable=True)
    p = torch.nn.Parameter(torch.ones(2, dtype=torch.complex64))
    with pytest.raises(RuntimeError, match="the curvature of a complex parameter is not supported"):
        optim.AdaHessian([p]).estimate((p * p.conj()).real.sum())
    model, loss_of = network()
    optimizer = optim.AdaHessian(model.parameters())
    release = optim.release_gradients(model, optimizer)
    with pytest.raises(RuntimeError, match="cannot step inside the backward pass"):
        loss_of().backward()
    release.remove()


def test_a_nan_in_the_loss_shows():
    p = torch.nn.Parameter(torch.ones(3))
    optimizer = optim.AdaHessian([p])
    by_estimate(optimizer, lambda: (p**2 * torch.tensor([1.0, float("nan"), 1.0])).sum())
    assert p.isnan().tolist() == [False, True, False]


def test_a_checkpoint_is_loaded_by_torchs_distributed_checkpoint():
    """It makes the states by a step at a rate of 0, with gradients of 0 that have no graph, before it fills them in."""
    from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict

    def made():
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
        return model, optim.AdaHessian(model.parameters(), lr=0.1)

    def step(model, optimizer, seed):
        optimizer.zero_grad()
        optimizer.estimate(model(torch.randn(8, 3, generator=torch.Generator().manual_seed(seed))).square().mean())
        optimizer.step()

    model, optimizer = made()
    for seed in range(2):
        step(model, optimizer, seed)
    saved = copy.deepcopy((model.state_dict(), get_optimizer_state_dict(model, optimizer)))
    other, resumed = made()
    other.load_state_dict(saved[0])
    set_optimizer_state_dict(other, resumed, saved[1])
    for seed in (2, 3):
        step(model, optimizer, seed)
        step(other, resumed, seed)
    assert all(map(torch.equal, model.parameters(), other.parameters()))


@pytest.mark.parametrize("change", [{"lr": 0.1}, {"gradient": 1e-30}])
def test_a_step_that_would_move_still_needs_a_graph(change):
    p = torch.nn.Parameter(torch.ones(3))
    optimizer = optim.AdaHessian([p], lr=change.get("lr", 0.0))
    p.grad = torch.full((3,), change.get("gradient", 0.0))
    with pytest.raises(RuntimeError, match="no graph"):
        optimizer.step()
    assert torch.equal(p, torch.ones(3)) and not optimizer.state
