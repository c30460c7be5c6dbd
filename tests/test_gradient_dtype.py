"""Gradients of another dtype than their parameter's (torch's `grad_dtype`) are read as they are, not rounded first."""

import pytest
import torch
from subjects import DEVICE, parameters

import thalweg.optim as optim

ENGINES = ["reference", "cpu", "cuda"]


@pytest.fixture(params=ENGINES)
def engine(request, monkeypatch):
    if request.param == "cuda" and DEVICE.type == "cpu":
        monkeypatch.setenv("TRITON_INTERPRET", "1")
    return request.param


def hand(p, gradient):
    """The parameter with a gradient of a dtype of its own."""
    if not hasattr(p, "grad_dtype"):
        pytest.skip("this torch has no grad_dtype")
    p.grad_dtype, p.grad = gradient.dtype, gradient


def pair(dtype, shape, gradient):
    """A 16-bit parameter with a gradient of its own dtype, and its copy in float32."""
    [p] = parameters([shape], dtype)
    hand(p, gradient)
    q = torch.nn.Parameter(p.detach().float())
    q.grad = gradient.float()
    return p, q


@pytest.mark.parametrize("given", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("rounding", ["nearest", "stochastic", "kahan", "master"])
def test_state_is_that_of_the_gradient_as_it_came(dtype, given, rounding, engine):
    gradient = (1.001 + torch.arange(1030) / 1e4).to(given)
    p, q = pair(dtype, (1030,), gradient)
    mine = optim.Adam([p], lr=0.01, rounding=rounding, engine=engine)
    other = optim.Adam([q], lr=0.01, engine=engine)
    for _ in range(2):
        mine.step()
        other.step()
    for name in ("exp_avg", "exp_avg_sq"):
        # equal to rounding: kernels of 16 bits contract other products and sums
        assert torch.allclose(mine.state[p][name], other.state[q][name], rtol=3e-7, atol=0)
    assert torch.allclose(p.float(), q, rtol=0.02, atol=0.01)
    if rounding == "master":
        assert torch.allclose(mine.state[p]["master"], q)


def test_the_gradient_of_a_float16_may_be_larger_than_a_float16(engine):
    p, _ = pair(torch.float16, (8,), torch.full((8,), 1e5))
    start = p.detach().clone()
    optim.SGD([p], lr=1e-5, engine=engine, rounding="nearest").step()
    assert p.isfinite().all() and torch.allclose((start - p).float(), torch.ones(8), rtol=1e-2)


def test_in_other_memory_order(engine):
    gradient = (1.001 + torch.arange(12) / 1e4).reshape(3, 4).T
    p, q = pair(torch.bfloat16, (4, 3), gradient)
    mine, other = optim.Adam([p], engine=engine), optim.Adam([q], engine=engine)
    mine.step()
    other.step()
    assert torch.equal(mine.state[p]["exp_avg"], other.state[q]["exp_avg"])


def test_small_state(engine):
    gradient = torch.randn(70, 70, generator=torch.Generator().manual_seed(0)) + 1e-3
    p, q = pair(torch.bfloat16, (70, 70), gradient)
    mine, other = (optim.Adam([each], state_dtype="int8", engine=engine) for each in (p, q))
    for _ in range(2):
        mine.step()
        other.step()
    assert torch.equal(mine.state[p]["exp_avg"], other.state[q]["exp_avg"])


@pytest.mark.parametrize("name", ["LAMB", "SOAP", "Prodigy"])
def test_rules_that_measure_whole_tensors(name):
    gradient = (1.001 + torch.arange(12) / 1e4).reshape(4, 3)
    p, q = pair(torch.bfloat16, (4, 3), gradient)
    mine, other = getattr(optim, name)([p]), getattr(optim, name)([q])
    mine.step()
    other.step()
    assert torch.equal(mine.state[p]["exp_avg"], other.state[q]["exp_avg"])


def test_sparse_rows(engine):
    values = torch.full((2, 3), 1.001)
    sparse = torch.sparse_coo_tensor(torch.tensor([[0, 2]]), values, (4, 3), check_invariants=True)
    [p] = parameters([(4, 3)], torch.bfloat16)
    hand(p, sparse)
    optimizer = optim.Adagrad([p], engine=engine)
    optimizer.step()
    assert torch.equal(optimizer.state[p]["sum"][0], values[0] * values[0])


def test_a_gradient_that_changes_its_dtype():
    p, q = pair(torch.bfloat16, (5,), torch.full((5,), 1.001))
    p.grad_dtype = None
    mine, other = optim.Adam([p]), optim.Adam([q])
    for dtype in (torch.bfloat16, torch.float32, torch.bfloat16):
        p.grad = torch.full((5,), 1.001, dtype=dtype)
        q.grad = p.grad.float()
        mine.step()
        other.step()
    assert torch.equal(mine.state[p]["exp_avg"], other.state[q]["exp_avg"])


def test_the_curvature_of_a_parameter_with_gradients_of_another_dtype():
    p, _ = pair(torch.bfloat16, (3,), torch.zeros(3))
    p.grad = None
    optimizer = optim.AdaHessian([p])
    (p.float() ** 3).sum().backward(create_graph=True)
    optimizer.step()
    assert torch.allclose(optimizer.state[p]["hessian_diag"], 6 * torch.ones(3) * p.detach().float(), rtol=0.5)


@pytest.fixture(params=["reference", "cpu"])
def on_the_host(request):
    return request.param


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.complex64])
def test_a_gradient_larger_than_float32_is_clipped_before_it_is_cut_to_it(dtype, on_the_host):
    kind = torch.complex128 if dtype.is_complex else torch.float64
    gradient = torch.tensor([3e200, -4e200, 0.0], dtype=kind)
    [p] = parameters([(3,)], dtype)
    hand(p, gradient.clone())
    q = torch.nn.Parameter(torch.zeros(2))
    q.grad = torch.ones(2)
    before = p.detach().clone()
    optimizer = optim.SGD([p, q], lr=1.0, clip_norm=1.0, on_nonfinite="raise", rounding="nearest", engine=on_the_host)
    optimizer.step()
    expected = torch.tensor([0.6, -0.8, 0.0])
    assert torch.allclose((before - p.detach()).to(kind).real.float(), expected, atol=0.02)
    assert p.grad.equal(gradient) and optimizer.guard.clipped_steps == 1 and not q.any()
    assert optimizer.guard.last_norm == pytest.approx(5e200)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_a_gradient_that_is_infinite_once_it_is_read_is_seen(dtype, scale, on_the_host):
    p, _ = pair(dtype, (3,), torch.full((3,), 1e200, dtype=torch.float64))
    q = torch.nn.Parameter(torch.zeros(2))
    q.grad = torch.ones(2)
    before = p.detach().clone()
    groups = [{"params": [p, q], "gradient_scale": scale, "lr": 0.1}]
    raising = optim.Adam(groups, on_nonfinite="raise", engine=on_the_host)
    with pytest.raises(FloatingPointError, match="parameter 0 .* is not finite in the step's precision"):
        raising.step()
    skipping = optim.Adam(groups, on_nonfinite="skip_step", engine=on_the_host)
    skipping.step()
    assert skipping.guard.skipped_steps == 1 and torch.equal(p, before) and not q.any()
    p.grad = torch.ones(3, dtype=torch.float64)
    skipping.step()
    assert skipping.guard.skipped_steps == 1 and bool((p != before).all())


def test_a_float64_parameter_takes_what_it_holds(on_the_host):
    p = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))
    p.grad = torch.full((2,), 1e200, dtype=torch.float64)
    optim.SGD([p], lr=1e-200, on_nonfinite="raise", engine=on_the_host).step()
    assert torch.allclose(p, -torch.ones(2, dtype=torch.float64))
