"""What CUDA kernels compute: against `reference`, for every rule and every way to keep 16-bit parameters."""

import os

import pytest
import torch
from subjects import DEVICE, EVERY_RULE_WITH_DECAY, PLAIN, SUBJECTS, give, gradients, parameters, run, states

import thalweg.optim as optim
from thalweg.plan.plan import Plan
from thalweg.tensors.rounding import ROUNDINGS

FULL = os.environ.get("THALWEG_CUDA_FULL") == "1"  # `make test-cuda-compile`: all of everything
SHAPES = [(33, 17), (5,), (), (0, 4), (1025,)]
HALVES = [torch.bfloat16, torch.float16]
exact = DEVICE.type == "cpu"  # there torch's operations and the interpreter's round alike


pytestmark = pytest.mark.usefixtures("correct_roots")
quiet = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # the interpreter's NumPy


def some(cases, every):
    """A spread of the cases; all of them where that is asked for."""
    return list(cases) if FULL else list(cases)[::every]


def halved(params, dtype):
    return [torch.nn.Parameter(p.detach().to(dtype)) for p in params]


def outcome(subject, engine, dtype, steps=4, shapes=SHAPES, zeros=False, **more):
    params = halved(parameters(shapes), dtype)
    optimizer = subject.build(params, engine=engine, **more)
    given = gradients(shapes, steps, dtype)
    if zeros:  # every third element
        given = [[g * (torch.arange(g.numel(), device=g.device) % 3 > 0).reshape(g.shape) for g in gs] for gs in given]
    run(optimizer, given)
    return params, states(optimizer), optimizer


def agree(ours, theirs, tolerance):
    """Tensors alike: to the bit where both round alike, else to a rounding of the dtype for each step."""
    for a, b in zip(ours, theirs, strict=True):
        a, b = a.detach().cpu(), b.detach().cpu()
        if exact:
            assert torch.equal(a.isnan(), b.isnan()) and torch.equal(a.nan_to_num(), b.nan_to_num())
        else:
            assert torch.allclose(a.double(), b.double(), rtol=tolerance, atol=tolerance, equal_nan=True)


# Their reference goes through powers of torch's own, or through logarithms, which are the machine's.
ROUNDED = ("adahessian", "prodigy")
EXACT = [subject for subject in EVERY_RULE_WITH_DECAY if subject.entry.name not in ROUNDED]


@quiet
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("subject", some(EXACT, 6), ids=str)
def test_every_rule_gives_the_bits_of_reference(subject, dtype):
    """The kernel does one operation after the other, each rounded as IEEE says, as torch does."""
    (ours, kept, _), (theirs, held, _) = (outcome(subject, engine, dtype) for engine in ("cuda", "reference"))
    tolerance = 1e3 * torch.finfo(dtype).eps
    agree(ours, theirs, tolerance)
    for mine, other in zip(kept, held, strict=True):
        agree([mine[name] for name in other], other.values(), tolerance)


@quiet
@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("subject", some([each for each in EXACT if not each.settings], 9), ids=str)
def test_sixteen_bits_are_rounded_alike_on_both(subject, rounding, dtype):
    more = {"rounding": rounding}
    (ours, kept, _), (theirs, held, _) = (outcome(subject, engine, dtype, **more) for engine in ("cuda", "reference"))
    agree(ours, theirs, 1e-2)
    for mine, other in zip(kept, held, strict=True):
        agree([mine[name] for name in other], other.values(), 1e-2)


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_extreme_sixteen_bit_values_stay_visible(rounding, dtype, device):
    """Subnormal, huge, infinite and NaN: the same as the reference's on every element."""
    tiny = torch.finfo(dtype).smallest_normal
    values = [0.0, -0.0, tiny, -tiny / 4, torch.finfo(dtype).max, -torch.inf, torch.nan, 1.0]
    g = [1e-7, -1e-7, tiny / 8, tiny / 3, -torch.inf, 1.0, 1.0, torch.nan]
    found = {}
    for engine in ("cuda", "reference"):
        p = torch.nn.Parameter(torch.tensor(values * 40, device=device).to(dtype))
        optimizer = optim.SGD([p], lr=0.3, rounding=rounding, engine=engine)
        run(optimizer, [[torch.tensor(g * 40, device=device).to(dtype)]] * 3)
        found[engine] = p.detach().float()
    assert torch.equal(found["cuda"].isnan(), found["reference"].isnan())
    assert torch.equal(found["cuda"].nan_to_num(), found["reference"].nan_to_num())


@pytest.mark.apart
@quiet
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    "subject", some([s for s in EXACT if not s.entry.rule.directs and not s.settings], 12), ids=str
)
def test_caution_is_counted_on_the_device(subject, dtype):
    """Over whole tensors of several chunks, and of none."""
    shapes = [(2500,), (3,), (0,), ()]
    more = {
        "cautious": True,
        "zeros": True,
        "weight_decay": 0.1,
        "decoupled_weight_decay": subject.entry.rule.decay != "own",
    }
    steps = 7 if "radam" in subject.entry.name else 3  # Schedule-Free RAdam stands still for five
    both = [outcome(subject, engine, dtype, steps, shapes, **more) for engine in ("cuda", "reference")]
    # torch divides a number by a tensor as a product with its reciprocal: the factor may be off in the last place
    for a, b in zip(both[0][0], both[1][0], strict=True):
        rounding = 100 * torch.finfo(dtype).eps
        assert torch.allclose(a.float(), b.float(), rtol=rounding, atol=rounding)
    plain, _, _ = outcome(subject, "cuda", dtype, steps, shapes, **(more | {"cautious": False}))
    assert not torch.equal(plain[0], both[0][0][0])


@pytest.mark.parametrize(
    ("name", "dtype"), [("SGD", torch.float32), ("Adagrad", torch.bfloat16), ("SparseAdam", torch.float32)]
)
def test_a_sparse_gradient_steps_the_rows_that_it_touches(name, dtype, device):
    found = {}
    for engine in ("cuda", "reference"):
        p = torch.nn.Parameter(torch.linspace(-1, 1, 40 * 7, device=device).reshape(40, 7).to(dtype))
        optimizer = getattr(optim, name)([p], lr=0.1, engine=engine)
        for rows in ([3, 39, 3], [0], [5, 3]):
            values = torch.arange(len(rows) * 7).to(dtype).reshape(-1, 7)
            p.grad = torch.sparse_coo_tensor([rows], values, (40, 7), device=device, check_invariants=True)
            optimizer.step()
        found[engine] = p.detach()
    assert torch.allclose(found["cuda"], found["reference"], rtol=1e-6)


WITHOUT_TENSORS = [s for s in SUBJECTS if s.entry.rule.per_tensor is None]
CAPTURABLE = some([s for s in WITHOUT_TENSORS if s.settings not in ({"weight_decay": 0.1}, {"maximize": True})], 3)


@quiet
@pytest.mark.parametrize("subject", CAPTURABLE, ids=str)
def test_numbers_from_the_device_are_those_of_the_host(subject, monkeypatch):
    """Step by step, far beyond every branch: warm-ups, rectification, decay that starts late."""
    shapes, near = [(3,), (2,)], {}
    for capturable in (False, True):
        params = parameters(shapes, torch.float64)
        optimizer = subject.build(params, engine="cuda", capturable=capturable)
        given = gradients(shapes, 9, torch.float64)
        for index, values in enumerate(given):
            for p, g in zip(params, values, strict=True):
                give(optimizer, p, g)
            optimizer.step()
            for state in optimizer.state.values():
                if index == 5 and "step" in state:
                    state["step"].fill_(5000.0)
        near[capturable] = [p.detach() for p in params], states(optimizer)
    kinds = {type(plan) for _, plan in optimizer._stepper._plans}
    assert Plan not in kinds and len(kinds) == 1  # else the host's were compared with themselves
    for a, b in zip(near[True][0], near[False][0], strict=True):
        assert torch.allclose(a, b, rtol=1e-9)
    for mine, other in zip(near[True][1], near[False][1], strict=True):
        for name in other:
            assert torch.allclose(mine[name].double().cpu(), other[name].double().cpu(), rtol=1e-6), name


@quiet
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("subject", some(PLAIN, 7), ids=str)
def test_nan_reaches_the_parameter_through_tails_and_full_chunks(subject, bad):
    shapes = [(1030,)]
    found = {}
    for engine in ("cuda", "reference"):
        [p] = parameters(shapes, torch.float32)
        optimizer = subject.build([p], engine=engine)
        g = torch.ones_like(p).detach()
        g[[0, 1000, 1029]] = bad
        run(optimizer, [[g], [torch.ones_like(g)]])
        found[engine] = p.detach()
    assert torch.equal(found["cuda"].isnan(), found["reference"].isnan())
    assert bad == bad or found["cuda"][[0, 1000, 1029]].isnan().all()
