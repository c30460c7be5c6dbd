"""bfloat16 and float16 parameters train: four ways to keep a small step, the same bits on both engines, after resume
and however the parameter is cut."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from subjects import FAST, gradients, run

import thalweg.optim as optim
from thalweg.tensors.rounding import ROUNDINGS, Noise, random_bits, round_stochastically

DTYPES = [torch.bfloat16, torch.float16]
# Each is a kernel to compile: one rule goes through all, the others through one.
CASES = [*(("SGD", {"momentum": 0.9}, way) for way in ROUNDINGS), ("AdamW", {}, "stochastic"), ("RAdam", {}, "kahan")]
SHAPES = [(1000,), (33, 7), (), (0, 3), (4, 3, 5, 5)]
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)
each_way = pytest.mark.parametrize("rounding", ROUNDINGS)


def halves(dtype, shapes=SHAPES):
    generator = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator).to(dtype)) for shape in shapes]


def spacing(p):
    """The distance to the next number away from zero."""
    return (torch.nextafter(p.abs(), torch.full_like(p, torch.inf)) - p.abs()).float()


@each_dtype
@pytest.mark.parametrize(("name", "more", "rounding"), CASES, ids=str)
def test_both_engines_write_the_same_numbers(name, more, rounding, dtype):
    """A contracted product may differ in the last float32 bit, and so, rarely, a rounding: in no more than one element
    of a thousand, by one spacing. By chance such an element then goes its own way, at most a spacing further a step.
    """
    outcome = []
    for engine in ("reference", FAST):
        params = halves(dtype)
        params[4].data = params[4].data.contiguous(memory_format=torch.channels_last)
        run(getattr(optim, name)(params, rounding=rounding, engine=engine, **more), gradients(SHAPES, 20, dtype))
        outcome.append(params)
    differ = torch.cat([(p != q).flatten() for p, q in zip(*outcome, strict=True)])
    assert differ.float().mean() <= 1e-3
    far = 20 if rounding == "stochastic" else 1
    assert all(((p - q).abs().float() <= far * spacing(p)).all() for p, q in zip(*outcome, strict=True))


@each_dtype
@each_way
def test_resuming_changes_no_bit(rounding, dtype):
    given = gradients(SHAPES, 20, dtype)
    steady = halves(dtype)
    run(optim.Adam(steady, rounding=rounding), given)
    begun = halves(dtype)
    first = optim.Adam(begun, rounding=rounding)
    run(first, given[:9])
    again = optim.Adam(begun, rounding=rounding)
    again.load_state_dict(copy.deepcopy(first.state_dict()))
    run(again, given[9:])
    assert all(torch.equal(p, q) for p, q in zip(begun, steady, strict=True))


@each_dtype
def test_stochastic_rounding_uses_every_bit_of_the_noise(dtype):
    """Its lowest four decide of about one weight in 8,000: of 400,000 both engines round the same ones up."""
    found = []
    for engine in ("reference", FAST):
        p = torch.nn.Parameter(torch.ones(400_000, dtype=dtype))
        run(optim.SGD([p], lr=1.2345e-4, rounding="stochastic", engine=engine), [[torch.ones_like(p)]])
        found.append(p.detach())
    assert torch.equal(*found) and found[0].unique().numel() == 2


@each_dtype
@each_way
@pytest.mark.parametrize("engine", ["reference", FAST])
def test_a_weight_of_one_moves_by_steps_far_below_its_spacing(dtype, rounding, engine):
    """1,000 weights of 1.0, lr 1e-3, gradient 1, 100 steps: 0.9 is due. A bfloat16 1.0 stays where it is when rounded
    to the nearest, and a float16 one takes whole spacings."""
    p = torch.nn.Parameter(torch.ones(1000, dtype=dtype))
    run(optim.SGD([p], lr=1e-3, rounding=rounding, engine=engine), [[torch.ones_like(p)]] * 100)
    if rounding != "nearest":
        # by chance: a step is off by at most a spacing, up or down; the mean of 1,000 weights after 100 of them
        error = 4 * spacing(torch.ones(1, dtype=dtype)).item() * (100 / 4 / 1000) ** 0.5
        assert p.float().mean().item() == pytest.approx(0.9, abs=error if rounding == "stochastic" else 2.0**-9)
    else:  # 1e-3 is 2.05 spacings of a float16 below 1
        assert torch.equal(p, torch.ones_like(p) * (1.0 if dtype == torch.bfloat16 else 1 - 100 * 2 * 2.0**-11))


MEASURE = {"stochastic": 0.1, "kahan": 0.01, "master": 0.01}


@pytest.mark.parametrize("rounding", MEASURE)
def test_a_thousand_bfloat16_steps_track_the_float32_run(rounding):
    """The measure: how far the weights end from those of the float32 run over the same gradients (rounded to bfloat16),
    relative to how far these have come. What is left beyond a spacing of the weights is drift: with 'nearest' nine
    tenths of the way are lost, by chance a tenth is noise, and with something kept a hundredth is rounding."""
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(4000, generator=generator).to(torch.bfloat16)
    pull = torch.randn(4000, generator=generator)
    given = [[(pull + torch.randn(4000, generator=generator)).to(torch.bfloat16)] for _ in range(1000)]

    def distance(rounding):
        p = torch.nn.Parameter(start.clone())
        run(optim.Adam([p], lr=1e-3, rounding=rounding), given)
        return ((p.float() - exact).norm() / (exact - start.float()).norm()).item()

    p = torch.nn.Parameter(start.float())
    run(optim.Adam([p], lr=1e-3), [[g.float()] for [g] in given])
    exact = p.detach()
    assert distance(rounding) < MEASURE[rounding] < 0.8 < distance("nearest")


@each_dtype
@settings(max_examples=200, deadline=None)
@given(x=st.floats(width=32), seed=st.integers(0, 2**40))
def test_stochastic_rounding_gives_a_neighbour_and_hides_nothing(dtype, x, seed):
    value = torch.tensor([x] * 64)
    rounded = round_stochastically(value, dtype, random_bits(torch.zeros(64, dtype=dtype), Noise(seed)))
    nearest = value.to(dtype)
    assert rounded.isnan().all() if x != x else not rounded.isnan().any()
    # the number at or below, and the one above
    away = torch.nextafter(nearest, torch.full_like(nearest, torch.inf))
    toward = torch.nextafter(nearest, torch.full_like(nearest, -torch.inf))
    assert ((rounded == nearest) | (rounded == away) | (rounded == toward) | rounded.isnan()).all()
    if (nearest.float() == value).all():
        assert (rounded == nearest).all()
    assert not (rounded.sign() * value.sign() < 0).any()


@each_dtype
@pytest.mark.parametrize("x", [1.0003, -0.3712345, 3.1e-6, -7.7e-8, 12345.678])
def test_the_mean_of_stochastic_rounding_is_right(dtype, x):
    count = 1 << 16
    bits = random_bits(torch.zeros(count, dtype=dtype), Noise(12345))
    rounded = round_stochastically(torch.full((count,), x), dtype, bits).double()
    gap = (rounded.max() - rounded.min()).item()
    assert rounded.mean().item() == pytest.approx(x, abs=5 * gap / 2 / count**0.5)


def test_the_random_bits_are_even_and_keyed():
    before = torch.zeros(1 << 14, dtype=torch.bfloat16)
    bits = torch.stack(
        [random_bits(before, Noise(keys)) for keys in (1, 2, 1 << 33)] + [random_bits(before + 1, Noise(1))]
    )
    shares = torch.stack([(bits >> place & 1).double().mean(1) for place in range(32)])
    assert (shares - 0.5).abs().max() < 5 * 0.5 / 2**7
    for one, two in ((0, 1), (0, 2), (1, 2), (0, 3)):
        agree = (~(bits[one] ^ bits[two]) & 0xFFFF).double().mean() / 0xFFFF
        assert abs(agree - 0.5) < 0.01


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_and_cuts_change_no_bit(threads):
    before = torch.get_num_threads()
    outcome = []
    try:
        for number in (1, threads):
            torch.set_num_threads(number)
            [p] = halves(torch.bfloat16, [(200_003,)])
            run(optim.Adam([p]), gradients([(200_003,)], 3, torch.bfloat16))
            outcome.append(p)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*outcome)


@each_way
def test_a_parameter_that_was_written_is_believed(rounding):
    """What is kept beside it belongs to the value that was overwritten."""
    p = torch.nn.Parameter(torch.ones(8, dtype=torch.bfloat16))
    for engine in ("reference", FAST):
        optimizer = optim.SGD([p], lr=1e-3, rounding=rounding, engine=engine)
        run(optimizer, [[torch.ones_like(p)]] * 3)
        with torch.no_grad():
            p.fill_(4.0)
        run(optimizer, [[torch.zeros_like(p)]])
        assert torch.equal(p, torch.full_like(p, 4.0))


@each_dtype
def test_the_second_moment_is_float32_and_does_not_freeze(dtype):
    """One kept in bfloat16 stops growing at a quarter."""
    p = torch.nn.Parameter(torch.ones(4, dtype=dtype))
    optimizer = optim.Adam([p])
    run(optimizer, [[torch.ones(4, dtype=dtype)]] * 3000)
    assert optimizer.state[p]["exp_avg_sq"].dtype == torch.float32
    assert torch.allclose(optimizer.state[p]["exp_avg_sq"], torch.full((4,), 1 - 0.999**3000), rtol=1e-4)


@each_way
def test_nan_and_infinity_stay_visible(rounding):
    for engine in ("reference", FAST):
        p = torch.nn.Parameter(torch.tensor([1.0, 2.0, torch.inf, 4.0], dtype=torch.bfloat16))
        p.grad = torch.tensor([torch.nan, 1.0, 0.0, -torch.inf], dtype=torch.bfloat16)
        optim.SGD([p], lr=0.5, rounding=rounding, engine=engine).step()
        assert p[0].isnan() and p[1] == 1.5 and p[2] == torch.inf and p[3] == torch.inf
