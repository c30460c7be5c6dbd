"""Sparse gradients step the rows they touch, and no others."""

import pytest
import torch
from subjects import FAST

import thalweg.optim as optim

pytestmark = pytest.mark.filterwarnings("ignore:Sparse invariant checks")
SHAPE = (50, 7)


def sparse(generator, dtype=torch.float32, shape=SHAPE, rows=9):
    """Some rows, a few of them twice: it is the optimizer's work to add these up."""
    indices = torch.randint(0, shape[0] // 3, (1, rows), generator=generator)
    values = torch.randn(rows, *shape[1:], generator=generator).to(dtype)
    return torch.sparse_coo_tensor(indices, values, shape)


CASES = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "maximize": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.01, "initial_accumulator_value": 0.1}),
    ("SparseAdam", {"lr": 0.1}),
]


@pytest.mark.parametrize("engine", ["reference", FAST])
@pytest.mark.parametrize(("name", "settings"), CASES, ids=str)
def test_as_torch_does_it(name, settings, engine):
    start = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    mine = getattr(optim, name)([ours], engine=engine, **settings)
    other = getattr(torch.optim, name)([theirs], **settings)
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        ours.grad = sparse(generator)
        theirs.grad = ours.grad.clone()
        given = ours.grad.clone().coalesce()
        mine.step()
        other.step()
        assert torch.equal(ours.grad.coalesce().values(), given.values())
    assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert torch.equal(ours[SHAPE[0] // 3 :], start[SHAPE[0] // 3 :])
    for key, value in other.state[theirs].items():
        if isinstance(value, torch.Tensor):
            assert torch.allclose(mine.state[ours][key].double(), value.to_dense().double(), rtol=1e-5, atol=1e-6)
        elif value is not None:
            assert mine.state[ours][key] == value


@pytest.mark.parametrize("engine", ["reference", FAST])
def test_a_gradient_may_be_sparse_in_one_step_and_expanded_in_the_next(engine):
    """Both say that their strides are 0."""
    p = torch.nn.Parameter(torch.zeros(4, 2))
    optimizer = optim.SGD([p], lr=1.0, engine=engine)
    for _ in range(2):
        p.grad = torch.sparse_coo_tensor([[1]], torch.ones(1, 2), (4, 2))
        optimizer.step()
        p.grad = torch.ones(1).expand(4, 2)
        optimizer.step()
    assert p.tolist() == [[-2.0] * 2, [-4.0] * 2, [-2.0] * 2, [-2.0] * 2]


@pytest.mark.parametrize("rounding", ["stochastic", "kahan", "master"])
def test_half_precision_rows_are_the_same_on_both_engines(rounding):
    outcome = []
    for engine in ("reference", FAST):
        p = torch.nn.Parameter(torch.ones(SHAPE, dtype=torch.bfloat16))
        optimizer = optim.Adagrad([p], rounding=rounding, engine=engine)
        generator = torch.Generator().manual_seed(1)
        for _ in range(10):
            p.grad = sparse(generator, torch.bfloat16)
            optimizer.step()
        outcome.append(p)
    assert torch.equal(*outcome)


@pytest.mark.parametrize("engine", ["reference", FAST])
def test_several_sparse_dimensions_scalars_complex_and_nothing(engine):
    """A gradient may be sparse in every dimension, complex, or empty; a second parameter may be dense."""
    full = torch.nn.Parameter(torch.ones(4, 3, dtype=torch.complex64))
    full.grad = torch.sparse_coo_tensor(
        [[0, 3, 3], [1, 2, 2]], torch.tensor([1.0, 2.0, 3.0], dtype=torch.complex64), (4, 3)
    )
    empty = torch.nn.Parameter(torch.ones(4, 3))
    empty.grad = torch.sparse_coo_tensor(torch.zeros(1, 0, dtype=torch.int64), torch.zeros(0, 3), (4, 3))
    dense = torch.nn.Parameter(torch.ones(2))
    dense.grad = torch.ones(2)
    optim.SGD([full, empty, dense], lr=0.1, engine=engine).step()
    expected = torch.ones(4, 3, dtype=torch.complex64)
    expected[0, 1], expected[3, 2] = 0.9, 0.5
    assert torch.allclose(full, expected) and torch.equal(empty, torch.ones(4, 3))
    assert torch.allclose(dense, torch.tensor(0.9))


@pytest.mark.parametrize("threads", [1, 2])
def test_many_rows_on_several_threads(threads):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        p = torch.nn.Parameter(torch.zeros(5000, 64))
        rows = torch.arange(0, 5000, 2)
        p.grad = torch.sparse_coo_tensor(rows[None], torch.ones(2500, 64), p.shape)
        optim.SGD([p], lr=1.0, engine="cpu").step()
    finally:
        torch.set_num_threads(before)
    assert (p[::2] == -1).all() and (p[1::2] == 0).all()


def test_what_a_sparse_gradient_cannot_do_is_refused_before_anything_moves():
    def one(cls, param=None, **settings):
        p = torch.nn.Parameter(torch.ones(4, 2)) if param is None else param
        p.grad = torch.sparse_coo_tensor([[1]], torch.ones(1, *p.shape[1:]), p.shape)
        other = torch.nn.Parameter(torch.ones(2))
        other.grad = torch.ones(2)
        optimizer = cls([other, p], **settings)
        try:
            optimizer.step()
        finally:
            assert torch.equal(other, torch.ones(2)) and other not in optimizer.state

    with pytest.raises(RuntimeError, match="adam does not support sparse gradients"):
        one(optim.Adam)
    with pytest.raises(RuntimeError, match=r"weight_decay=0\.1: .* not compatible with sparse"):
        one(optim.SGD, weight_decay=0.1)
    with pytest.raises(RuntimeError, match="sparse_adam does not support dense gradients"):
        one(optim.SparseAdam)


@pytest.mark.parametrize(("name", "settings"), [CASES[0], *CASES[-2:]], ids=str)
@pytest.mark.parametrize("layout", ["transposed", "sliced"])
def test_rows_that_lie_apart_step_as_in_torch(name, settings, layout):
    def build(cls):
        start = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
        whole = torch.zeros(SHAPE[0], 2 * SHAPE[1])
        p = torch.nn.Parameter(start.t().contiguous().t() if layout == "transposed" else whole[:, ::2].copy_(start))
        optimizer, generator = cls([p], **settings), torch.Generator().manual_seed(1)
        for _ in range(5):
            p.grad = sparse(generator)
            optimizer.step()
        return p, whole

    (ours, whole), (theirs, _) = build(getattr(optim, name)), build(getattr(torch.optim, name))
    assert ours.stride() == theirs.stride() and (whole[:, 1::2] == 0).all()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    if layout == "transposed":
        with pytest.raises(ValueError, match="whose rows only 'reference' takes"):
            build(lambda params, **more: getattr(optim, name)(params, engine="cpu", **more))
