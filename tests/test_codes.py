"""The codes of small state: errors within their bounds over all of float32, by chance and right in the mean; zero,
infinity and NaN are what they were; what lies on the grid stays there."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg.tensors.quantization import BLOCK, SIGNED, UNSIGNED, WIDE_SIGNED, WIDE_UNSIGNED, code_of, random_of
from thalweg.tensors.rounding import Noise, keys

EIGHT = [SIGNED, UNSIGNED]
EVERY = [*EIGHT, WIDE_SIGNED, WIDE_UNSIGNED]
each_eight = pytest.mark.parametrize("code", EIGHT, ids=lambda code: code.name)
each_code = pytest.mark.parametrize("code", EVERY, ids=lambda code: code.name)
LARGEST = 3.4028234663852886e38  # float32's; above 1.625 * 2^127 the next code, and bfloat16, may be infinity


def noise(step: int) -> Noise:
    return Noise(keys(step))


def there_and_back(code, x, random=None):
    return code.decode(*code.encode(x, random))


@st.composite
def blocks(draw):
    """Numbers over 60 orders of magnitude and more in one tensor, with zeros and denormals, in ragged blocks."""
    size = draw(st.sampled_from([1, 5, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 17]))
    low = draw(st.floats(-45, 30))
    span = draw(st.sampled_from([0.0, 1.0, 10.0, 60.0]))
    torch.manual_seed(draw(st.integers(0, 2**32)))
    x = 10 ** (low + span * torch.rand(size, dtype=torch.float64))
    x = x.clamp(max=1.6 * 2.0**127).float() * torch.where(torch.rand(size) < 0.5, -1.0, 1.0)
    x[torch.rand(size) < 0.1] = 0.0
    return x


def largest(x):
    """The exponent that stands for each element's block, by the words of the format."""
    top = torch.nn.functional.pad(x.abs(), (0, -len(x) % BLOCK)).view(-1, BLOCK).amax(1).double()
    exponents = [
        math.floor(math.log2(t)) + (t / 2 ** math.floor(math.log2(t)) > 1.625) if t else -126 for t in top.tolist()
    ]
    return torch.tensor(exponents, dtype=torch.float64).repeat_interleave(BLOCK)[: len(x)]


@each_eight
@pytest.mark.parametrize("stochastic", [False, True])
@settings(max_examples=40, deadline=None)
@given(x=blocks(), step=st.integers(0, 10**6))
def test_errors_are_within_the_bounds(code, stochastic, x, step):
    """Above the least code an eighth of the number, or a sixteenth to the nearest; below it the least code."""
    x = x if code.signed else x.abs()
    back = there_and_back(code, x, random_of(noise(step), len(x), 0) if stochastic else None).double()
    exponent = largest(x).clamp(min=code.window - 126)
    least = 1.125 * 2.0 ** (exponent - code.window)
    x = x.double()
    bound = torch.where(x.abs() >= least, x.abs() / (8 if stochastic else 16), least)
    assert ((back - x).abs() <= bound).all()
    assert (back * x >= 0).all()
    assert (back[x == 0] == 0).all()
    if not code.signed:
        assert (back[x > 0] >= least[x > 0]).all(), "what was seen is not forgotten"
    elif not stochastic:
        below = x.abs() < least
        assert ((back - x).abs() <= least / 2)[below].all()


@each_code
@settings(max_examples=40, deadline=None)
@given(x=blocks(), step=st.integers(0, 10**6))
def test_what_is_on_the_grid_stays_there(code, x, step):
    x = x if code.signed else x.abs()
    once = there_and_back(code, x, random_of(noise(step), len(x), 0))
    again = there_and_back(code, once, random_of(noise(step + 1), len(x), 1))
    assert torch.equal(once, again)
    assert torch.equal(once, there_and_back(code, once))


@pytest.mark.parametrize("code", [WIDE_SIGNED, WIDE_UNSIGNED], ids=lambda code: code.name)
@settings(max_examples=40, deadline=None)
@given(x=blocks(), step=st.integers(0, 10**6))
def test_bfloat16_is_a_neighbour(code, x, step):
    x = x if code.signed else x.abs()
    back = there_and_back(code, x, random_of(noise(step), len(x), 0)).double()
    x = x.double()
    assert ((back - x).abs() <= torch.where(x.abs() >= 2.0**-126, x.abs() / 128, 2.0**-133)).all()
    if not code.signed:
        assert (back[x > 0] > 0).all()


@each_code
@pytest.mark.parametrize("stochastic", [False, True])
def test_infinity_and_nan_stay_where_they_are_and_disturb_no_other(code, stochastic):
    x = torch.linspace(0.5, 1, 2 * BLOCK)
    random = random_of(noise(3), len(x), 0) if stochastic else None
    plain = there_and_back(code, x, random)
    odd = {3: math.inf, 7: math.nan, BLOCK - 1: math.inf, BLOCK: math.nan}
    if code.signed:
        odd[5] = -math.inf
    x[list(odd)] = torch.tensor(list(odd.values()))
    back = there_and_back(code, x, random)
    assert torch.equal(back.isnan(), x.isnan())
    assert torch.equal(back.isinf(), x.isinf()) and (back[x.isinf()] == x[x.isinf()]).all()
    assert torch.equal(back[x.isfinite()], plain[x.isfinite()])


@each_eight
def test_blocks_of_nothing_else_than_infinity_zero_or_the_largest_numbers(code):
    for value in (0.0, math.inf, LARGEST, 1.5 * 2.0**127, 2.0**-149, 2.0**-126):
        back = there_and_back(code, torch.full((BLOCK + 3,), value))
        assert (back == back[0]).all()
        if value in (0.0, math.inf, 1.5 * 2.0**127):
            assert back[0] == value
    assert there_and_back(code, torch.full((3,), 1.7 * 2.0**127)).isfinite().all()


def test_what_an_unsigned_state_was_promised_not_to_be_shows():
    x = torch.tensor([1.0, -1.0, -math.inf, -0.0])
    assert there_and_back(UNSIGNED, x).isnan().tolist() == [False, True, True, False]


@each_code
@pytest.mark.parametrize("size", [1.0, 1e-20, 2.0**-14 * 0.77, 2.0**-17])
def test_the_mean_is_right(code, size):
    """Over steps and blocks; also far below the block's largest, where the neighbors are zero and the least."""
    x = torch.full((BLOCK,), 0.71 * size)
    x[::2] = 1.0
    if not code.signed and size < 2.0**-31:
        x[::2] = size
    if code.signed and size < 2.0**-17:
        x[::2] = 2.0**13 * size
    steps, count = 40, 100
    many = x.repeat(count)
    drawn = [there_and_back(code, many, random_of(noise(step), many.numel(), 0)) for step in range(steps)]
    found = torch.stack(drawn).double().view(steps * count, BLOCK)
    spread = (found.amax(0) - found.amin(0)) / 2  # two values: their deviation is at most half of what is between
    assert ((found.mean(0) - x.double()).abs() <= 5 * spread / (steps * count) ** 0.5 + 1e-12 * size).all()


def test_the_random_bits_are_even_and_new_in_every_step_block_and_moment():
    count = 64 * BLOCK
    found = [random_of(noise(1), count, 0), random_of(noise(2), count, 0), random_of(noise(1), count, 1)]
    found.append(random_of(Noise(keys(1), offset=BLOCK), count, 0))
    for each in found:
        for bits, n in ((each.bits, count), (each.shares, 64)):
            shares = torch.stack([(bits >> place & 1).double().mean() for place in range(32)])
            assert (shares - 0.5).abs().max() < 5 * 0.5 / min(n, 64) ** 0.5
    for one in range(4):
        for two in range(one):
            apart = (found[one].bits - found[two].bits) & 0xFFFFFFFF
            assert apart[::BLOCK].unique().numel() >= 60
    assert torch.equal(found[0].bits[BLOCK : 2 * BLOCK], found[3].bits[:BLOCK]), "a place's bits are the place's"


def test_the_largest_code_is_the_finite_one_below_infinity():
    for code in EIGHT:
        held = torch.tensor([code.infinity - 1, code.infinity, code.infinity + 1], dtype=torch.uint8)
        back = code.decode(held, torch.tensor([127], dtype=torch.uint8))
        assert back[0] == 1.625 and back[1] == math.inf and back[2].isnan()


def test_kinds():
    assert code_of("slow", "int8") == WIDE_SIGNED and code_of("unsigned", "bfloat16") == WIDE_UNSIGNED
    assert code_of("signed", "int8") == SIGNED and code_of("unsigned", "int8") == UNSIGNED
