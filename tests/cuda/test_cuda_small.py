"""Small state in CUDA kernels: the codes, scales and parameters of `reference`, bit for bit, for every rule that has
moments, wherever in a tensor or a chunk an element lies, and wherever the numbers of a step come from."""

import os
from collections import Counter

import pytest
import torch
from subjects import DEVICE, gradients, run
from test_cuda_engine import NoWaiting

import thalweg
import thalweg.optim as optim
from test_small import COPIES, KEEPS, copy_step, parameters, same
from thalweg import Rule
from thalweg.engines.cuda import ENGINE, source
from thalweg.plan.members import Member
from thalweg.plan.on_device import QuantizedDevicePlan
from thalweg.plan.quantized import QuantizedPlan
from thalweg.tensors.quantization import BLOCK, LIMIT
from thalweg.tensors.rounding import HALVES, ROUNDINGS

pytestmark = [
    pytest.mark.usefixtures("correct_roots"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),  # the interpreter's NumPy
]
FULL = os.environ.get("THALWEG_CUDA_FULL") == "1"  # `make test-cuda-compile`: all of everything
SHAPES = [(LIMIT + 300,), (5,)]  # four full chunks, a tail of a block and a part; and one that stays in float32
SMALL = ["int8", "bfloat16"]
each_small = pytest.mark.parametrize("small", SMALL)


def pair(build, given, dtype=torch.float32, shapes=SHAPES, **more):
    """The same steps by `cuda` and by `reference`."""
    both = [build(parameters(shapes, dtype), engine=engine, **more) for engine in ("cuda", "reference")]
    for optimizer in both:
        run(optimizer, given)
    return both


def agree(ours, theirs, rounded=False):
    """Bit for bit in the interpreter, which rounds as torch does on a CPU. On a GPU a float32's last bit may differ,
    2^-23 of it, which turns a code into its neighbor, 2^-3 away, once in 2^20 elements and steps. `rounded`: the
    parameters' last bits may differ anywhere."""
    if DEVICE.type == "cpu" and not rounded:
        return same(ours, theirs)
    for p, q in zip(ours.param_groups[0]["params"], theirs.param_groups[0]["params"], strict=True):
        assert ((p - q).abs() > 1e3 * torch.finfo(p.dtype).eps * (1 + q.abs())).float().mean() <= 1e-3
        for name, held in theirs.state[q].items():
            mine = ours.state[p][name]
            apart = ((mine != held) & ~(mine.isnan() & held.isnan())).float().mean()
            assert mine.dtype == held.dtype
            assert held.dtype == torch.float32 or apart <= (0 if DEVICE.type == "cpu" else 1e-3)


def is_small(optimizer, kind=QuantizedPlan):
    """The kernels have really kept these states small: else `reference` is compared with itself."""
    plans = dict.fromkeys((engine.name, type(plan)) for engine, plan in optimizer._stepper._plans)
    return ("cuda", kind) in plans


# Four kernels' worth of kinds, and a spread of the rest: averages of two kinds, a slow one, a sum, a maximum.
CHOSEN = ("momentum", "ademamix", "adagrad", "amsgrad", "adabelief", "lamb")


@each_small
@pytest.mark.parametrize("subject", [each for each in KEEPS if FULL or each.entry.name in CHOSEN], ids=str)
def test_every_rule_gives_the_codes_of_reference(subject, small):
    ours, theirs = pair(subject.build, gradients(SHAPES, 2, torch.float32), state_dtype=small)
    assert is_small(ours)
    agree(ours, theirs)
    moved = not torch.equal(ours.param_groups[0]["params"][0], parameters(SHAPES)[0])
    assert moved or subject.entry.name == "schedule_free_radam"  # which stands still for five steps


ROUNDINGS = [(dtype, rounding) for dtype in HALVES for rounding in ROUNDINGS if rounding != "full"]


@each_small
@pytest.mark.parametrize(("dtype", "rounding"), ROUNDINGS if FULL else ROUNDINGS[::3], ids=str)
def test_beside_sixteen_bit_parameters(dtype, rounding, small):
    """Parameters of float16 with moments of bfloat16 too, each rounded stochastically of its own."""
    given = gradients(SHAPES, 2, dtype)
    agree(*pair(optim.Adam, given, dtype, state_dtype=small, rounding=rounding, weight_decay=0.1))


@pytest.mark.apart
@each_small
def test_the_same_numbers_become_the_same_bits(small):
    """Numbers that no arithmetic has touched: over all of float32, with infinity, NaN and zeros of both signs, blocks
    of nothing else than one of these among them."""
    generator, count = torch.Generator().manual_seed(0), LIMIT + BLOCK + 77
    bits = torch.randint(-(2**31), 2**31, (count,), generator=generator).to(torch.int32).view(torch.float32)
    low = torch.randint(0, 1 << 27, (count,), generator=generator).to(torch.int32).view(torch.float32)
    usual = torch.randn(count, generator=generator) * 10 ** (20 * torch.rand(count, generator=generator) - 10)
    for block, value in enumerate((0.0, -0.0, torch.inf, -torch.inf, torch.nan, 2.0**-149, 3.4e38)):
        bits[block * BLOCK : (block + 1) * BLOCK] = value
    bits.view(torch.int32)[-9:] = 2**31 - 1  # NaN as GPUs have it: one more would be a zero
    both = pair(thalweg.optimizer(COPIES), [], shapes=[(count,)], state_dtype=small)
    for g in (usual, bits, low):
        for optimizer in both:
            run(optimizer, [[g]])
        same(*both)


@each_small
def test_zeros_infinity_and_nan_are_read_as_they_were_written(small):
    """Moments that were zero, infinite or NaN in the step before, in a full chunk and in a tail."""
    given = gradients(SHAPES[:1], 2, torch.float32)
    [g] = given[0]
    g[::7] = g[BLOCK : 2 * BLOCK] = 0.0
    g[1::BLOCK], g[2::BLOCK], g[3::BLOCK] = torch.inf, -torch.inf, torch.nan
    ours, theirs = pair(optim.Adam, given, shapes=SHAPES[:1], state_dtype=small)
    agree(ours, theirs)
    [p] = ours.param_groups[0]["params"]
    assert p[0].isfinite() and p[1].isnan() and p[3].isnan()


def distances(p, g, a, *, lr, one):
    a = one - g
    p = p - lr * a
    return p, a


def test_what_lies_beyond_the_end_has_no_part_in_the_scale():
    """There gradients are zero, and what a rule makes of that may be larger than all that is in the block."""
    rule = Rule("distances", "-", "-", copy_step, distances, moments={"a": "signed"})
    given = [[torch.full((LIMIT + 9,), 0.99, device=DEVICE)]]
    ours, theirs = pair(thalweg.optimizer(rule), given, shapes=[(LIMIT + 9,)], state_dtype="int8")
    agree(ours, theirs)


def echo(p, g, a, *, lr, one):
    a = one * g
    p = p - lr * a
    return p, a


@each_small
def test_what_an_unsigned_moment_was_promised_not_to_be_shows(small):
    """Below zero 8 bits say NaN."""
    rule = Rule("echo", "-", "-", copy_step, echo, moments={"a": "unsigned"})
    given = gradients(SHAPES[:1], 1, torch.float32)
    ours, theirs = pair(thalweg.optimizer(rule), given, shapes=SHAPES[:1], state_dtype=small)
    same(ours, theirs)
    [held] = (each["a"] for each in ours.full_state_dict()["state"].values())
    assert torch.equal(held.isnan(), (given[0][0] < 0) & (small == "int8"))


def off_the_line(engine, elements):
    """A parameter and a gradient that begin somewhere in memory."""
    held = parameters([(LIMIT + 300 + elements,)])[0].detach()
    p, g = torch.nn.Parameter(held[elements:]), torch.ones(LIMIT + 300 + elements, device=DEVICE)[elements:] * held[0]
    optimizer = optim.Adam([p], state_dtype="int8", engine=engine)
    run(optimizer, [[g], [g * 0.1 + p.detach()]])
    return optimizer


@pytest.mark.apart
def test_memory_that_starts_anywhere():
    agree(off_the_line("cuda", 1), off_the_line("reference", 1))


def test_blocks_are_of_what_lies_together(device):
    found = []
    for engine in ("cuda", "reference"):
        p = torch.nn.Parameter(parameters([(8, 16, 6, 7)])[0].detach().contiguous(memory_format=torch.channels_last))
        optimizer = optim.Adam([p], state_dtype="int8", engine=engine)
        run(optimizer, [[p.detach() * 0.1 + 1]])
        found.append(optimizer)
        assert optimizer.state[p]["exp_avg"].stride() == p.stride()
    agree(*found)


@each_small
def test_a_shard_counts_from_its_place_in_the_whole(small, monkeypatch):
    given = gradients(SHAPES, 1, torch.float32)
    build = lambda params, **more: optim.SGD(params, momentum=0.9, **more)  # noqa: E731
    first, _ = pair(build, given, state_dtype=small)
    monkeypatch.setattr(Member, "offset", property(lambda self: 2**33 + 1001))
    later, theirs = pair(build, given, state_dtype=small)
    agree(later, theirs)
    one, two = (each.state[each.param_groups[0]["params"][0]]["momentum_buffer"] for each in (first, later))
    assert (one != two).float().mean() > 0.1, "other places have other random bits"


@pytest.mark.apart
@each_small
def test_caution_beside_small_state(small):
    """torch divides a number by a tensor as a product with its reciprocal: the factor may be off in the last place."""
    given = gradients(SHAPES, 2, torch.float32)
    ours, theirs = pair(optim.Adam, given, state_dtype=small, cautious=True)
    plain, _ = pair(optim.Adam, given, state_dtype=small)
    agree(ours, theirs, rounded=True)
    assert not torch.equal(ours.param_groups[0]["params"][0], plain.param_groups[0]["params"][0])


# -- numbers from the device -------------------------------------------------------------------------------------------


@pytest.mark.apart
@pytest.mark.parametrize(("small", "dtype"), [("int8", torch.float32), ("bfloat16", torch.bfloat16)], ids=str)
def test_numbers_and_keys_from_the_device_give_the_same_bits(small, dtype, device):
    """With a rate that is a tensor, and nothing read back."""
    given = gradients(SHAPES, 3, dtype)
    far, host = (
        optim.Adam(
            [{"params": [p]} for p in parameters(SHAPES, dtype)],
            lr=torch.tensor(0.01, device=device) if on_device else 0.01,
            capturable=on_device,
            state_dtype=small,
            engine="cuda",
        )
        for on_device in (True, False)
    )
    run(far, given[:1])
    with NoWaiting():
        run(far, given[1:])
    run(host, given)
    assert is_small(far, QuantizedDevicePlan) and is_small(host)
    for one, two in zip(far.state.values(), host.state.values(), strict=True):
        assert all(torch.equal(one[name].cpu(), two[name].cpu()) for name in two)
    for one, two in zip(far.param_groups, host.param_groups, strict=True):
        assert torch.equal(one["params"][0], two["params"][0])


@each_small
def test_a_step_left_out_on_the_device_writes_nothing(small, device):
    optimizer = optim.Adam(parameters(SHAPES), state_dtype=small, engine="cuda", fused=True, clip_norm=1.0)
    given = gradients(SHAPES, 1, torch.float32)
    run(optimizer, given)
    assert is_small(optimizer, QuantizedDevicePlan)
    held = [*optimizer.param_groups[0]["params"], *(v for each in optimizer.state.values() for v in each.values())]
    before = [value.detach().clone() for value in held]
    optimizer.found_inf = torch.ones(1, device=device)
    run(optimizer, given)
    assert all(torch.equal(a, b) for a, b in zip(held, before, strict=True))
    optimizer.found_inf.zero_()
    run(optimizer, given)
    assert not any(torch.equal(a, b) for a, b in zip(held, before, strict=True) if a.dim())


# -- around the kernels ------------------------------------------------------------------------------------------------


def test_one_launch_steps_all_groups_and_tensors_of_a_form(monkeypatch):
    launches, launch = [], type(ENGINE)._launch
    monkeypatch.setattr(
        type(ENGINE), "_launch", lambda self, plan, desk: launches.append(plan) or launch(self, plan, desk)
    )
    a, b, c = parameters([(LIMIT,), (LIMIT + 1,), (7,)])
    optimizer = optim.Lion([{"params": [a, c]}, {"params": [b], "lr": 0.5}], engine="cuda", state_dtype="int8")
    run(optimizer, gradients([(LIMIT,), (7,), (LIMIT + 1,)], 1, torch.float32))
    assert Counter(type(plan).__name__ for plan in launches) == {"QuantizedPlan": 1, "Plan": 1}
    assert sorted(len(plan.positions) for plan in launches) == [1, 2]


@pytest.mark.apart
def test_a_training_goes_from_one_engine_to_the_other():
    given = gradients(SHAPES, 3, torch.float32)
    _, steady = pair(optim.Adam, given, state_dtype="int8")
    begun = optim.Adam(parameters(SHAPES), state_dtype="int8", engine="reference")
    run(begun, given[:2])
    ours = optim.Adam(begun.param_groups[0]["params"], state_dtype="int8", engine="cuda")
    ours.load_state_dict(begun.state_dict())
    run(ours, given[2:])
    agree(ours, steady)


def test_a_block_is_a_piece_of_a_tail_and_chunks_are_whole_blocks():
    """A block that two programs, or two turns of one, shared would have the scale of the one that came last."""
    assert source.PIECE == BLOCK and source.BLOCK % BLOCK == 0
