"""Rules with a matrix for each axis: every shape, what goes in and comes out of a checkpoint, numbers that fail."""

import copy

import numpy as np
import papers_matrix
import pytest
import torch
from subjects import gradients, parameters, run

import thalweg.optim as optim
from thalweg.rules.shampoo import inverse_root

CLASSES = {"Shampoo": optim.Shampoo, "SOAP": optim.SOAP}
SHAPES = [(5, 5), (3,), (), (0, 4), (2, 1, 3), (1, 7), (2, 3, 3, 3)]
every = pytest.mark.parametrize("cls", CLASSES.values(), ids=CLASSES)


def model(seed=0):
    torch.manual_seed(seed)
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 3), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.Linear(48, 2))
    x, y = torch.randn(16, 1, 6, 6), torch.randint(0, 2, (16,))
    return net, lambda: torch.nn.functional.cross_entropy(net(x), y)


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("engine", ["auto", "reference"])
def test_a_convolution_learns(cls, dtype, engine):
    net, loss_of = model()
    optimizer = cls(net.parameters(), lr=0.1 if cls is optim.Shampoo else 0.01, engine=engine)
    if dtype == torch.bfloat16:
        net.bfloat16()
        x, y = torch.randn(16, 1, 6, 6).bfloat16(), torch.randint(0, 2, (16,))
        loss_of = lambda: torch.nn.functional.cross_entropy(net(x).float(), y)  # noqa: E731
    first = loss_of().item()
    for _ in range(30):
        optimizer.zero_grad()
        loss_of().backward()
        optimizer.step()
    assert loss_of().item() < 0.7 * first
    held = [value for state in optimizer.state.values() for name, value in state.items() if name != "step"]
    assert held and all(value.dtype == torch.float32 for value in held)


@every
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("rounding", ["nearest", "stochastic", "kahan", "master"])
def test_half_precision_is_the_same_on_both_engines(cls, dtype, rounding):
    """The direction is a float32, which a kernel for halves must know. A contracted product may differ in its last bit,
    and so, rarely, a rounding: by one spacing, in no more than one element of a hundred."""
    outcome = []
    for engine in ("reference", "cpu"):
        params = parameters([(33, 17), (40,), (6, 5, 4)], dtype)
        run(cls(params, engine=engine, rounding=rounding), gradients([(33, 17), (40,), (6, 5, 4)], 8, dtype))
        outcome.append(torch.cat([p.detach().flatten() for p in params]).float())
    differ = outcome[0] != outcome[1]
    assert differ.float().mean() <= 0.01
    assert ((outcome[0] - outcome[1]).abs() <= torch.finfo(dtype).eps * outcome[0].abs()).all()


@every
def test_a_missing_axis_is_not_preconditioned(cls):
    """An axis that is too long has no matrix; none at all leave the gradient, or Adam."""
    p, q = parameters([(5, 5)])[0], parameters([(5, 5)])[0]
    optimizer = cls([p], max_precondition_dim=4, weight_decay=0.0, lr=0.01)
    given = gradients([(5, 5)], 6)
    run(optimizer, given)
    matrices = [value for name, value in optimizer.state[p].items() if name in ("preconditioners", "roots", "GG", "Q")]
    assert len(matrices) == 2 and all(value.numel() == 0 for value in matrices)
    if cls is optim.Shampoo:
        run(optim.SGD([q], lr=0.01), given)
    else:
        [p] = parameters([(5, 5)])
        run(cls([p], max_precondition_dim=4, weight_decay=0.0, lr=0.01, eps=0.0), given)
        theirs = optim.Adam([q], lr=0.01, betas=(0.95, 0.95), eps=0.0)
        run(theirs, given[1:])  # the first step only founds the basis
    assert torch.allclose(p, q, rtol=1e-12)


def test_shampoos_roots_are_those_of_the_paper_along_every_axis():
    params, given = parameters(SHAPES), gradients(SHAPES, 5)
    starts = [p.detach().numpy().copy() for p in params]
    optimizer = optim.Shampoo(params, eps=0.1)
    run(optimizer, given)
    for index, (p, start) in enumerate(zip(params, starts, strict=True)):
        gradient = lambda _, t, index=index: given[t - 1][index].numpy()  # noqa: E731
        if p.numel():  # NumPy takes no eigenvalues of nothing
            paper = papers_matrix.shampoo(start, gradient, steps=5, lr=0.1, eps=0.1)
            assert np.allclose(p.detach().numpy(), paper.path[-1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("order", [2, 4, 6])
def test_an_inverse_root_is_one(dtype, order):
    """R^order M is the identity, to the rounding that M's condition allows."""
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(12, 12, generator=generator, dtype=dtype)
    matrix = a @ a.T + 0.1 * torch.eye(12, dtype=dtype)
    (root,) = inverse_root(matrix[None], 0.1, order)
    error = 10 * order * 12 * torch.finfo(dtype).eps * torch.linalg.cond(matrix)
    assert torch.allclose(
        torch.linalg.matrix_power(root, order) @ matrix, torch.eye(12, dtype=dtype), atol=error.item()
    )


def test_rounding_below_eps_does_not_become_a_nan():
    """Large gradients of rank one: in float32 the eigenvalues that are eps come out as anything, below 0, too."""
    p = torch.nn.Parameter(torch.zeros(30, 20))
    optimizer = optim.Shampoo([p], eps=1e-12)
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        p.grad = 1e4 * torch.randn(30, 1, generator=generator) @ torch.randn(1, 20, generator=generator)
        optimizer.step()
    assert p.isfinite().all()


@every
def test_resuming_changes_no_bit_and_matrices_are_in_the_checkpoint(cls):
    given = gradients(SHAPES, 25, torch.float32)
    steady = parameters(SHAPES, torch.float32)
    run(cls(steady), given)
    begun = parameters(SHAPES, torch.float32)
    first = cls(begun)
    run(first, given[:12])
    again = cls(begun)
    again.load_state_dict(copy.deepcopy(first.state_dict()))
    run(again, given[12:])
    assert all(torch.equal(p, q) for p, q in zip(begun, steady, strict=True))


@every
def test_matrices_of_another_shape_are_refused(cls):
    [p], [q] = parameters([(4, 3)], torch.float32), parameters([(4, 3)], torch.float32)
    first = cls([p])
    run(first, gradients([(4, 3)], 2, torch.float32))
    other = cls([q], max_precondition_dim=3)
    q.grad = torch.ones(4, 3)
    before = q.detach().clone()
    saved = copy.deepcopy(first.state_dict())
    saved["param_groups"][0]["max_precondition_dim"] = 3
    other.load_state_dict(saved)
    with pytest.raises(RuntimeError, match=r"has shape \(25,\), and \(9,\) is due for a parameter of shape \(4, 3\)"):
        other.step()
    assert torch.equal(q, before)


@every
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_fail_show_and_raise_nothing(cls, bad):
    """torch's decompositions raise for them, in the middle of a step."""
    [p, q] = parameters([(4, 4), (3, 3)], torch.float32)
    optimizer = cls([p, q], **({"update_frequency": 1} if cls is optim.Shampoo else {"precondition_frequency": 1}))
    for step in range(4):
        p.grad, q.grad = torch.ones(4, 4), torch.ones(3, 3)
        if step == 1:
            p.grad[0, 0] = bad
        optimizer.step()
    assert not p.isfinite().any() and q.isfinite().all()


@every
def test_memory_order_changes_nothing_but_rounding(cls):
    values = parameters([(6, 4, 3, 3)])[0].detach()
    plain, channels = torch.nn.Parameter(values.clone()), torch.nn.Parameter(values.clone())
    channels.data = channels.data.to(memory_format=torch.channels_last)
    given = gradients([(6, 4, 3, 3)], 6)
    for p in (plain, channels):
        run(cls([p], weight_decay=0.1, lr=0.01), given)
    assert torch.allclose(plain, channels, rtol=1e-9, atol=1e-9)


@every
def test_what_matrices_cannot_be_of_is_refused_before_anything_moves(cls):
    p = torch.nn.Parameter(torch.ones(3, 3, dtype=torch.complex64))
    p.grad = torch.ones(3, 3, dtype=torch.complex64)
    with pytest.raises(RuntimeError, match="does not support complex parameters: it works on whole real matrices"):
        cls([p]).step()
    p = torch.ones(3, 3)
    p.grad = torch.ones(3, 3)
    with pytest.raises(RuntimeError, match="writes its matrices in place, where autograd cannot follow"):
        cls([p], differentiable=True).step()
    assert torch.equal(p, torch.ones(3, 3))


def test_caution_looks_at_the_gradient_not_at_the_direction():
    """A direction that Shampoo made of the gradient may point against it."""
    [p] = parameters([(6, 6)])
    optimizer = optim.Shampoo([p], lr=0.1, cautious=True, weight_decay=0.1)
    against = 0
    for (g,) in gradients([(6, 6)], 12):
        before = p.detach().clone()
        run(optimizer, [[g]])
        staged = g + 0.1 * before
        assert not ((before - p) * staged < 0).any()
        against += int((before == p).sum())
    assert against > 0
