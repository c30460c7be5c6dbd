"""Every configuration steps as torch's loop over the parameters does: the parameters, and every state by its name."""

import pytest
import torch
from configurations import (
    COMPLEX,
    CONFIGURATIONS,
    DEFAULTS,
    FLAGGED,
    Configuration,
    as_supported,
    gradients,
    laws,
    parameters,
    run,
    states,
)

STEPS = 9  # RAdam's denominator comes in with the sixth
# A step is fewer than 50 operations an element, and each may round to the other side here and in torch.
ROUNDINGS = 50 * STEPS


pytestmark = pytest.mark.usefixtures("double")


def assert_close(ours, theirs, roundings=ROUNDINGS, least=torch.float64):
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
    if not ours.is_floating_point() and not ours.is_complex():
        assert torch.equal(ours, theirs)
        return
    tolerance = roundings * max(torch.finfo(dtype).eps for dtype in (ours.dtype, least))
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


def assert_same_outcome(mine, other, roundings=ROUNDINGS, least=torch.float64):
    """`least`: the dtype with the fewest digits in which either may have kept a number."""
    for group, torchs in zip(mine.param_groups, other.param_groups, strict=True):
        for p, q in zip(group["params"], torchs["params"], strict=True):
            assert_close(p.detach(), q.detach(), roundings, least)
    for own, torchs in zip(states(mine), states(other), strict=True):
        assert own.keys() == torchs.keys()
        for name, value in torchs.items():
            if isinstance(value, torch.Tensor):
                held = own[name].detach()
                if not value.dim():  # step counts and carried numbers: doubles here, whatever torch's dtype
                    assert held.dtype == torch.float64
                    held = held.to(value.dtype)
                assert_close(held, value.detach(), roundings, least)


def both(configuration: Configuration, given_of=gradients, **more):
    """Our class and torch's over the same gradients, the third step without the first parameter's."""
    params, theirs = parameters(configuration), parameters(configuration)
    mine, other = configuration.build(params, **more), configuration.build_torch(theirs, **more)
    given = given_of(params, STEPS)
    given[2][0] = None
    for optimizer in (mine, other):
        run(configuration, optimizer, given)
    return mine, other


@laws(CONFIGURATIONS)
def test_equal_to_torchs_loop(configuration):
    assert_same_outcome(*both(configuration), least=configuration.coarsest)


@laws(FLAGGED)
def test_torchs_switches_change_nothing(configuration):
    """Bit for bit: one implementation stands behind `foreach`, `fused` and `capturable`."""
    recorded = configuration.settings.get("differentiable", False)
    plain = {"foreach": None, "fused": None, "differentiable": False, **({"engine": "reference"} if recorded else {})}
    outcomes = []
    for switches in ({}, plain, {"capturable": True}):
        params = parameters(configuration)
        if recorded and switches is not plain:  # a leaf cannot be stepped in place while autograd records
            params = [p.clone() for p in params]
        optimizer = configuration.build(params, **switches)
        run(configuration, optimizer, gradients(params, 4))
        outcomes.append(optimizer)
    first, second, third = outcomes
    assert_same_outcome(first, third, roundings=0)
    # While autograd records, the rates and corrections are tensors, and powers of tensors round in their own way.
    assert_same_outcome(first, second, roundings=ROUNDINGS if recorded else 0)


@laws([each for each in DEFAULTS if not each.info.only_supports_sparse_grads])
def test_parameters_of_several_dtypes(configuration):
    """float64, float32 and, where torch takes it, complex; each state has its parameter's dtype, as in torch."""

    def mixed():
        generator = torch.Generator().manual_seed(0)
        third = torch.complex64 if configuration.info.supports_complex else torch.float32
        kinds = (torch.float64, torch.float32, third, torch.float64)
        return [torch.nn.Parameter(torch.randn(4, 3, generator=generator, dtype=dtype)) for dtype in kinds]

    params, theirs = mixed(), mixed()
    mine, other = configuration.build(params), configuration.build_torch(theirs)
    for optimizer in (mine, other):
        run(configuration, optimizer, gradients(params, STEPS))
    assert_same_outcome(mine, other)


def in_rows(seed, halves, dtype=torch.float64):
    """A gradient of some rows; `halves`: each comes twice, by half."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(7, generator=generator)[:3]
    values = torch.randn(3, 5, generator=generator, dtype=dtype)
    rows, values = (rows.repeat(2), values.repeat(2, 1) / 2) if halves else (rows, values)
    return torch.sparse_coo_tensor(rows[None], values, (7, 5), check_invariants=True)


TAKES_SPARSE = [
    each
    for each in CONFIGURATIONS
    if each.info.only_supports_sparse_grads
    or (each.info.supports_sparse and not {"weight_decay", "momentum"} & each.settings.keys())
]


@pytest.mark.parametrize("halves", [False, True], ids=["coalesced", "in halves"])
@laws(TAKES_SPARSE)
def test_sparse_gradients_step_as_in_torch(configuration, halves):
    outcomes = []
    for build in (configuration.build, configuration.build_torch):
        p = torch.nn.Parameter(torch.ones(7, 5, dtype=torch.float64))
        optimizer = build([p])
        for step in range(STEPS):
            p.grad = in_rows(step, halves)
            optimizer.step()
        outcomes.append(optimizer)
    assert_same_outcome(*outcomes, least=configuration.coarsest)


@laws([each for each in TAKES_SPARSE if each.info.supports_sparse])
def test_a_sparse_gradient_is_the_dense_one_in_fewer_words(configuration):
    """Where a gradient of zero changes nothing."""
    outcomes = []
    for sparse in (True, False):
        p = torch.nn.Parameter(torch.ones(7, 5, dtype=torch.float64))
        optimizer = configuration.build([p])
        for step in range(STEPS):
            p.grad = in_rows(step, False) if sparse else in_rows(step, False).to_dense()
            optimizer.step()
        outcomes.append(optimizer)
    assert_same_outcome(*outcomes)


@pytest.mark.parametrize("default", [torch.float32, torch.float64], ids=str)
@laws(DEFAULTS)
def test_the_default_dtype_is_of_no_more_weight_than_in_torch(configuration, default):
    torch.set_default_dtype(default)
    mine, other = both(configuration)
    assert_same_outcome(mine, other, least=default)


@laws(COMPLEX)
def test_a_complex_number_is_a_pair_of_real_ones(configuration):
    shapes = [(7, 5), (4,)]
    generator = torch.Generator().manual_seed(0)
    numbers = [torch.randn(shape, generator=generator, dtype=torch.complex128) for shape in shapes]
    params = [torch.nn.Parameter(each.clone()) for each in [*numbers, numbers[0].real.clone()]]
    pairs = [torch.nn.Parameter(torch.view_as_real(each).clone()) for each in numbers]
    pairs.append(torch.nn.Parameter(numbers[0].real.clone()))
    given = gradients(params, 5)
    as_pairs = [[torch.view_as_real(g) if g.is_complex() else g for g in values] for values in given]
    run(configuration, configuration.build(params), given)
    run(configuration, configuration.build(pairs), as_pairs)
    for p, pair in zip(params, pairs, strict=True):
        assert_close(torch.view_as_real(p.detach()) if p.is_complex() else p.detach(), pair.detach())


@laws(COMPLEX)
def test_complex_parameters_train_as_their_parts_do(configuration):
    """Through autograd, on a valley that bends."""
    z = torch.nn.Parameter(torch.tensor([1.5 + 1.5j], dtype=torch.complex128))
    x, y = (torch.nn.Parameter(torch.tensor([1.5], dtype=torch.float64)) for _ in range(2))
    whole, parts = configuration.build([z]), configuration.build([x, y])
    for _ in range(STEPS):
        for optimizer, re, im in ((whole, z.real, z.imag), (parts, x, y)):
            optimizer.zero_grad()
            ((1 - re) ** 2 + (im - re**2) ** 2).sum().backward()
            optimizer.step()
    # A gradient carries the rounding of the steps before on, by the curvature: 25 at the start.
    assert_close(z.detach(), torch.complex(x.detach(), y.detach()), roundings=25 * ROUNDINGS)


def laid_out(tensor, layout):
    if layout == "gaps":
        return torch.stack([tensor, tensor], dim=-1)[..., 0]
    if layout == "expanded":
        return tensor[..., :1].expand(tensor.shape)
    return tensor.t().contiguous().t()


def laid_out_somewhere():
    for configuration in DEFAULTS:
        # Parameters that overlap, and gaps on the CPU engine, are refused: test_memory.py, test_engines.py.
        gaps = ["gaps"] * (configuration.engine != "cpu")
        for where, layouts in (("parameter", [*gaps, "transposed"]), ("gradient", ["gaps", "transposed", "expanded"])):
            for layout in layouts:
                if not configuration.info.only_supports_sparse_grads:
                    yield pytest.param(configuration, layout, where, id=f"{configuration}-{layout}-{where}")


@pytest.mark.parametrize(("configuration", "layout", "where"), list(laid_out_somewhere()))
def test_any_layout_in_memory(configuration, layout, where):
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(6, 4, generator=generator, dtype=torch.float64)
    given = torch.randn(STEPS, 6, 4, generator=generator, dtype=torch.float64)
    outcomes = []
    for build in (configuration.build, configuration.build_torch):
        p = torch.nn.Parameter(laid_out(start, layout) if where == "parameter" else start.clone())
        optimizer = build([p])
        for g in given:
            p.grad = laid_out(g, layout) if where == "gradient" else g.clone()
            optimizer.step()
        outcomes.append(optimizer)
    assert_same_outcome(*outcomes)


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)], ids=str)
@laws(DEFAULTS)
def test_a_learning_rate_may_be_a_tensor_of_one_element(configuration, shape):
    rate = float(configuration.build(parameters(configuration)).defaults["lr"])
    outcomes = []
    for lr in (rate, torch.tensor(rate, dtype=torch.float64).reshape(shape)):
        params = parameters(configuration)
        optimizer = configuration.build(params, lr=lr)
        run(configuration, optimizer, gradients(params, 3))
        assert optimizer.param_groups[0]["lr"] is lr
        outcomes.append(optimizer)
    assert_same_outcome(*outcomes)


@laws(DEFAULTS)
def test_parameters_without_elements_and_of_none_dimensions(configuration):
    empty = [] if configuration.info.name == "Adafactor" else [(0,), (3, 0)]  # torch's divides by 0
    shapes = [*empty, (), (2, 2)]
    outcomes = []
    for build in (configuration.build, configuration.build_torch):
        params = [torch.nn.Parameter(torch.ones(shape, dtype=torch.float64)) for shape in shapes]
        optimizer = build(params)
        for values in gradients(params, 3):
            for p, g in zip(params, values, strict=True):
                p.grad = as_supported(configuration, g)
            optimizer.step()
        outcomes.append(optimizer)
    assert_same_outcome(*outcomes)
