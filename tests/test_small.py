"""Moments in 8 and 16 bits: the same by `reference` and by the device's engine, after resume and however the work is
cut; near the float32 run; checkpoints that go anywhere; and what does not go is refused in words."""

import copy
import io
import re
import warnings

import numba
import pytest
import torch
from subjects import DEVICE, FAST, PLAIN, Subject, gradients, run
from torch.utils._python_dispatch import TorchDispatchMode

import thalweg
import thalweg.optim as optim
from thalweg import Rule
from thalweg.catalogue import CATALOGUE
from thalweg.engines import cpu
from thalweg.plan.quantized import PIECE, keep, widened
from thalweg.rule.hyperparameters import Rate
from thalweg.rule.words import abs
from thalweg.tensors.quantization import BLOCK, LIMIT, SCALE, code_of, form_of

SHAPES = [(LIMIT + 300,), (70, 71), (100,), ()]
SMALL = ["int8", "bfloat16"]
each_small = pytest.mark.parametrize("small", SMALL)
each_engine = pytest.mark.parametrize("engine", ["reference", FAST])
KEEPS = [subject for subject in PLAIN if subject.entry.rule.moments]


def parameters(shapes=SHAPES, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator).to(dtype)) for shape in shapes]


def held(optimizer):
    return [value for state in optimizer.state.values() for value in state.values()]


def dtypes(states):
    """Of all that is kept, but for step counts."""
    return {value.dtype for state in states.values() for name, value in state.items() if name != "step"}


def alike(a, b):
    """Bit for bit, but for the kinds of NaN."""
    return a.dtype == b.dtype and torch.equal(a.isnan(), b.isnan()) and torch.equal(a[~a.isnan()], b[~b.isnan()])


def same(one, two):
    """Every parameter and state."""
    for p, q in zip(one.param_groups, two.param_groups, strict=True):
        assert all(alike(a, b) for a, b in zip(p["params"], q["params"], strict=True))
    for p, q in zip(one.state.values(), two.state.values(), strict=True):
        assert p.keys() == q.keys() and all(alike(p[name], q[name]) for name in p)


def through_a_file(state_dict):
    file = io.BytesIO()
    torch.save(state_dict, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


# -- both engines ------------------------------------------------------------------------------------------------------


def copy_step(step, *, lr: Rate = 0.0):
    return {"lr": lr, "one": 1.0}


def copies(p, g, a, b, c, d, *, lr, one):
    a = one * g
    b = one * abs(g)
    c = one * g
    d = one * abs(g)
    p = p - lr * a
    return p, a, b, c, d


COPIES = Rule(
    name="copies",
    title="Moments that are the gradient",
    source="the tests",
    per_step=copy_step,
    per_element=copies,
    moments={"a": "signed", "b": "unsigned", "c": "slow", "d": "unsigned"},
)


@each_small
def test_the_same_numbers_become_the_same_bits_on_both_engines(small):
    """Numbers that no arithmetic has touched: over all of float32, with infinity, NaN and zeros of both signs."""
    generator = torch.Generator().manual_seed(0)
    count = 40 * BLOCK + 77
    bits = torch.randint(-(2**31), 2**31, (3, count), generator=generator).to(torch.int32)
    usual = torch.randn(count, generator=generator) * 10 ** (20 * torch.rand(count, generator=generator) - 10)
    low = torch.randint(0, 1 << 27, (count,), generator=generator).to(torch.int32).view(torch.float32)
    both = [
        thalweg.optimizer(COPIES)([torch.nn.Parameter(torch.zeros(count))], state_dtype=small, engine=engine)
        for engine in ("reference", FAST)
    ]
    for g in (usual, *bits.view(torch.float32), low, usual):
        for optimizer in both:
            run(optimizer, [[g]])
        same(*both)
    [state] = both[0].state.values()
    assert (
        state["a"].dtype == (torch.uint8 if small == "int8" else torch.bfloat16) and state["c"].dtype == torch.bfloat16
    )
    assert len(state) == (11 if small == "int8" else 5)


def agree(subject, small):
    """A contracted product may differ in a float32's last bit, and so, rarely, a code: such an element then goes its
    own way. In five steps no more than one in a hundred, and by no more than the steps are long."""
    given, outcome = gradients(SHAPES, 5, torch.float32), []
    starts = [p.detach().clone() for p in parameters()]
    for engine in ("reference", FAST):
        optimizer = subject.build(parameters(), state_dtype=small, engine=engine)
        run(optimizer, given)
        outcome.append(optimizer)
    for p, q, start in zip(*(each.param_groups[0]["params"] for each in outcome), starts, strict=True):
        way = (p - start).abs().max()
        far = (p - q).abs() > 1e-4 * way + 1e-6
        assert far.float().mean() <= 1e-2 and ((p - q).abs() <= way).all()
        assert p.numel() < LIMIT or not torch.equal(p, start)
    moments = {subject.entry.rule.torch_names[letter] for letter in subject.entry.rule.moments}
    for ours, theirs in zip(*(each.state.values() for each in outcome), strict=True):
        for name in moments & ours.keys():
            codes = ours[name].view(torch.int16) if ours[name].dtype == torch.bfloat16 else ours[name]
            if ours[name].numel() >= LIMIT:
                assert codes.dtype != torch.float32
                assert (ours[name] != theirs[name]).float().mean() <= 1e-2


@pytest.mark.parametrize("subject", KEEPS, ids=str)
def test_every_rule_agrees_with_the_reference(subject):
    agree(subject, "int8")


@pytest.mark.parametrize("name", ["momentum", "adam", "amsgrad"])
def test_rules_in_16_bits_agree_with_the_reference(name):
    agree(Subject(CATALOGUE[name], {}), "bfloat16")


@pytest.mark.parametrize("rounding", ["stochastic", "kahan"])
def test_small_state_beside_bfloat16_parameters(rounding):
    """8 bytes a parameter in all, gradient included, where nothing is kept beside it: 2 + 2 + 1 + 1 and scales."""
    given, outcome = gradients(SHAPES, 5, torch.bfloat16), []
    for engine in ("reference", FAST):
        optimizer = optim.Adam(parameters(dtype=torch.bfloat16), state_dtype="int8", rounding=rounding, engine=engine)
        run(optimizer, given)
        outcome.append(optimizer)
    for p, q in zip(*(each.param_groups[0]["params"] for each in outcome), strict=True):
        assert (p != q).float().mean() <= 1e-2
    p = outcome[1].param_groups[0]["params"][0]
    kept = sum(each.numel() * each.element_size() for each in outcome[1].state[p].values() if each.dim())
    assert kept <= (2.01 if rounding == "stochastic" else 4.01) * p.numel()


# -- quality -----------------------------------------------------------------------------------------------------------


@each_small
@pytest.mark.parametrize(("name", "more"), [("Adam", {}), ("SGD", {"momentum": 0.9}), ("Lion", {"lr": 1e-3})], ids=str)
def test_three_hundred_steps_stay_near_the_float32_run(name, more, small):
    """How far the weights end from those with float32 state over the same gradients, relative to their way."""
    generator = torch.Generator().manual_seed(0)
    pull = torch.randn(LIMIT, generator=generator)
    given = [[pull + torch.randn(LIMIT, generator=generator)] for _ in range(300)]
    ends = {}
    for state_dtype in ("float32", small):
        p = torch.nn.Parameter(torch.zeros(LIMIT))
        run(getattr(optim, name)([p], state_dtype=state_dtype, **more), given)
        ends[state_dtype] = p.detach()
    apart = ((ends[small] - ends["float32"]).norm() / ends["float32"].norm()).item()
    assert 0 < apart < {"int8": 0.08, "bfloat16": 0.02}[small]


@each_small
@each_engine
def test_second_moments_do_not_freeze(small, engine):
    """Rounded to the nearest, a change of a thousandth a step would be none."""
    p = torch.nn.Parameter(torch.zeros(LIMIT))
    optimizer = optim.Adam([p], state_dtype=small, engine=engine)
    run(optimizer, [[torch.ones(LIMIT)]] * 400 + [[torch.full((LIMIT,), 0.1)]] * 400)
    found = next(each["exp_avg_sq"] for each in optimizer.full_state_dict()["state"].values()).double()
    due = 0.999**400 * (1 - 0.999**400) + 0.01 * (1 - 0.999**400)
    spread = found.std().item()
    assert found.mean().item() == pytest.approx(due, abs=6 * spread / LIMIT**0.5 + 1e-3 * due)
    assert spread < 0.5 * due


@each_engine
def test_a_second_moment_is_never_zero_where_a_gradient_was(engine):
    """Small gradients beside large ones, and an eps that protects nothing."""
    p = torch.nn.Parameter(torch.zeros(LIMIT))
    optimizer = optim.Adam([p], lr=1e-3, eps=1e-30, state_dtype="int8", engine=engine)
    g = torch.full((LIMIT,), 1e-14)
    g[::2] = 1.0
    g[1::BLOCK] = 0.0
    run(optimizer, [[g * (-1) ** step] for step in range(20)])
    [state] = optimizer.full_state_dict()["state"].values()
    assert torch.equal(state["exp_avg_sq"] > 0, g != 0)
    seen = p.detach()[g != 0]
    assert seen.isfinite().all() and seen.abs().max() <= 20 * 1e-3 * 1.5


@each_small
@each_engine
def test_nan_and_infinity_stay_visible_and_where_they_are(small, engine):
    p = torch.nn.Parameter(torch.zeros(LIMIT))
    optimizer = optim.SGD([p], lr=0.5, momentum=0.9, state_dtype=small, engine=engine)
    g = torch.ones(LIMIT)
    g[[3, LIMIT - 1]] = torch.tensor([torch.nan, torch.inf])
    run(optimizer, [[g], [torch.ones(LIMIT)]])
    assert p.isnan().nonzero().flatten().tolist() == [3]
    assert p.isinf().nonzero().flatten().tolist() == [LIMIT - 1]
    [state] = optimizer.full_state_dict()["state"].values()
    assert state["momentum_buffer"][3].isnan() and state["momentum_buffer"][LIMIT - 1] == torch.inf


class Made(TorchDispatchMode):
    """The bytes of each tensor that an operation makes anew."""

    def __init__(self):
        super().__init__()
        self.sizes = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = {each.untyped_storage().data_ptr() for each in args if isinstance(each, torch.Tensor)}
        made = func(*args, **(kwargs or {}))
        for each in made if isinstance(made, (tuple, list)) else [made]:
            if isinstance(each, torch.Tensor) and each.untyped_storage().data_ptr() not in given:
                self.sizes.append(each.numel() * each.element_size())
        return made


@each_small
def test_the_first_step_makes_no_state_in_full(small):
    """Peak memory is what small state is for: zeros in float32, made small, would be more than what is saved."""
    p = torch.nn.Parameter(torch.ones(2_000_003))
    p.grad = torch.ones_like(p)
    optimizer = optim.Adam([p], state_dtype=small)
    with Made() as made:
        optimizer.step()
    assert max(made.sizes) == optimizer.state[p]["exp_avg"].element_size() * p.numel()


@each_small
def test_a_checkpoint_is_made_small_and_whole_piece_by_piece(small):
    """What lies between float32 and codes is not there for a whole parameter; and pieces end where blocks do."""
    p = torch.nn.Parameter(torch.ones(9 * PIECE + 3 * BLOCK + 5))
    x, state = torch.randn(p.shape, generator=torch.Generator().manual_seed(0)), {}
    code = code_of("signed", small)
    with Made() as made:
        keep(state, "m", x, p, code)
    whole = [size for size in made.sizes if size > 8 * PIECE]
    assert whole == [4 * p.numel(), code.dtype.itemsize * p.numel()]  # a copy laid as the parameter is; the codes
    codes, scales = code.encode(x, None)
    assert torch.equal(state["m"], codes)
    assert torch.equal(state["m" + SCALE], scales) if code.window else "m" + SCALE not in state
    with Made() as made:
        full = widened(state, "m", "signed")
    assert [size for size in made.sizes if size > 8 * PIECE] == [4 * p.numel()]
    assert torch.equal(full, code.decode(codes, scales))


# -- how the work is cut -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_and_cuts_change_no_bit(threads):
    before, outcome = torch.get_num_threads(), []
    shapes = [(100_003,), (LIMIT + 1,), (90_011,)]
    try:
        for number in (1, threads):
            torch.set_num_threads(number)
            outcome.append(optim.Adam(parameters(shapes), state_dtype="int8"))
            run(outcome[-1], gradients(shapes, 3, torch.float32))
    finally:
        torch.set_num_threads(before)
    same(*outcome)


@each_small
def test_splitting_a_group_changes_nothing(small):
    given, one, two = gradients(SHAPES, 4, torch.float32), parameters(), parameters()
    whole = optim.Adam(one, state_dtype=small)
    split = optim.Adam([{"params": [p]} for p in two], state_dtype=small)
    run(whole, given)
    run(split, given)
    assert all(torch.equal(p, q) for p, q in zip(one, two, strict=True))


def test_memory_order_is_the_parameters_and_gaps_go_to_the_reference():
    """channels_last: blocks are of what lies together. A slice: the reference, whatever its own order."""
    outcome = []
    for engine in ("reference", FAST):
        p = torch.nn.Parameter(parameters([(8, 16, 6, 7)])[0].detach().contiguous(memory_format=torch.channels_last))
        optimizer = optim.Adam([p], state_dtype="int8", engine=engine)
        given = gradients([p.shape], 3, torch.float32)
        run(optimizer, [[g.contiguous(memory_format=torch.channels_last)] for [g] in given])
        outcome.append(optimizer)
    assert optimizer.state[p]["exp_avg"].stride() == p.stride()
    for name in ("exp_avg", "exp_avg" + SCALE):
        assert (
            outcome[0].state[outcome[0].param_groups[0]["params"][0]][name] == optimizer.state[p][name]
        ).float().mean() > 0.99
    p.data = p.detach().contiguous()  # laid anew: the next step brings the state along
    before = optimizer.full_state_dict()["state"][0]["exp_avg"].clone()
    p.grad = torch.zeros_like(p)
    optimizer.step()
    after = optimizer.full_state_dict()["state"][0]["exp_avg"]
    assert after.stride() == p.stride() and ((after - 0.9 * before).abs() <= 0.2 * before.abs() + 1e-3).all()
    sliced = torch.nn.Parameter(torch.zeros(100, 100)[:, ::2])
    sliced.grad = torch.ones(100, 50)
    optim.Adam([sliced], state_dtype="int8").step()
    assert (sliced < 0).all()


# -- checkpoints -------------------------------------------------------------------------------------------------------


@each_small
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("name", "more"), [("Adam", {}), ("SGD", {"momentum": 0.9, "dampening": 0.5})], ids=str)
def test_resuming_changes_no_bit(name, more, dtype, small):
    given = gradients(SHAPES, 9, dtype)
    steady = getattr(optim, name)(parameters(dtype=dtype), state_dtype=small, **more)
    run(steady, given)
    begun = getattr(optim, name)(parameters(dtype=dtype), state_dtype=small, **more)
    run(begun, given[:4])
    saved = through_a_file(begun.state_dict())
    sizes = {each.dtype for state in saved["state"].values() for each in state.values() if each.numel() >= LIMIT}
    assert sizes == {torch.uint8 if small == "int8" else torch.bfloat16}
    again = getattr(optim, name)(begun.param_groups[0]["params"], state_dtype=small, **more)
    again.load_state_dict(saved)
    run(again, given[4:])
    same(steady, again)


@each_small
def test_in_full_and_back_is_the_same_training(small):
    """What is in float32 is on the grid: nothing is rounded on the way back."""
    given = gradients(SHAPES, 8, torch.float32)
    steady = optim.Adam(parameters(), state_dtype=small)
    run(steady, given[:4])
    full = through_a_file(steady.full_state_dict())
    assert all(
        state[name].dtype == torch.float32 for state in full["state"].values() for name in state.keys() - {"step"}
    )
    again = optim.Adam(copy.deepcopy(steady.param_groups[0]["params"]), state_dtype=small)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again.load_state_dict(full)
    assert again.param_groups[0]["state_dtype"] == small
    run(steady, given[4:])
    run(again, given[4:])
    same(steady, again)


@each_small
def test_torchs_checkpoint_goes_on_small_and_ours_in_torch(small):
    given = gradients(SHAPES, 6, torch.float32)
    theirs = torch.optim.Adam(parameters())
    run(theirs, given[:3])
    ours = optim.Adam(copy.deepcopy(theirs.param_groups[0]["params"]), state_dtype=small)
    ours.load_state_dict(theirs.state_dict())
    run(theirs, given[3:])
    run(ours, given[3:])
    assert ours.state[ours.param_groups[0]["params"][0]]["exp_avg"].dtype != torch.float32
    for p, q in zip(ours.param_groups[0]["params"], theirs.param_groups[0]["params"], strict=True):
        assert torch.allclose(p, q, atol=1e-3)
    back = torch.optim.Adam(copy.deepcopy(ours.param_groups[0]["params"]))
    converted = optim.convert(ours.state_dict(), from_="thalweg", to="torch")
    assert converted["param_groups"][0].keys() == theirs.state_dict()["param_groups"][0].keys()
    assert converted["state"][0].keys() == theirs.state_dict()["state"][0].keys()
    back.load_state_dict(converted)
    wide = optim.Adam(copy.deepcopy(ours.param_groups[0]["params"]))
    wide.load_state_dict(ours.state_dict())  # as it is: a float32 optimizer goes on in float32
    run(back, given[:2])
    run(wide, given[:2])
    for p, q in zip(back.param_groups[0]["params"], wide.param_groups[0]["params"], strict=True):
        assert torch.allclose(p, q, atol=1e-6)
    assert dtypes(wide.state) == {torch.float32}


def test_a_rule_that_counts_no_steps_goes_on_with_its_second():
    """Dampening spares the first step alone; the float32 checkpoint does not say that there was one."""
    given, before = (
        gradients([(LIMIT,)], 2, torch.float32),
        torch.optim.SGD(parameters([(LIMIT,)]), momentum=0.9, dampening=0.5),
    )
    run(before, given[:1])
    optimizer = optim.SGD(parameters([(LIMIT,)]), momentum=0.9, dampening=0.5, state_dtype="int8")
    optimizer.load_state_dict(before.state_dict())
    run(optimizer, given[1:])
    [state] = optimizer.full_state_dict()["state"].values()
    due = 0.9 * given[0][0] + 0.5 * given[1][0]
    assert (state["momentum_buffer"] - due).norm() < 0.1 * due.norm()


def test_a_checkpoint_without_its_scales_is_refused_before_anything_is_taken_over():
    optimizer = optim.Adam(parameters(), state_dtype="int8")
    run(optimizer, gradients(SHAPES, 1, torch.float32))
    before = copy.deepcopy(optimizer.state_dict())
    for change in (lambda state: state.pop("exp_avg" + SCALE), lambda state: state["exp_avg" + SCALE].resize_(2)):
        broken = copy.deepcopy(before)
        change(broken["state"][0])
        with pytest.raises(RuntimeError, match=r"state 'exp_avg' is kept in 8 bits, with scales of \(18,\)"):
            optimizer.load_state_dict(broken)
    again = optim.Adam(copy.deepcopy(optimizer.param_groups[0]["params"]), state_dtype="int8")
    again.load_state_dict(before)
    same(optimizer, again)


# -- what does not go --------------------------------------------------------------------------------------------------


def test_small_tensors_keep_float32():
    optimizer = optim.Adam(parameters([(LIMIT - 1,), (LIMIT,)]), state_dtype="int8")
    run(optimizer, gradients([(LIMIT - 1,), (LIMIT,)], 1, torch.float32))
    below, at = optimizer.state.values()
    assert below["exp_avg"].dtype == torch.float32 and at["exp_avg"].dtype == torch.uint8


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda p: optim.SGD([p], state_dtype="int8"), "sgd has no state that may be kept small; allowed is 'float32'"),
        (lambda p: optim.Rprop([p], state_dtype="bfloat16"), "rprop has no state that may be kept small"),
        (lambda p: optim.SOAP([p], state_dtype="int8"), "soap has no state that may be kept small"),
        (
            lambda p: optim.RMSprop([p], centered=True, state_dtype="int8"),
            "rmsprop_centred has no state that may be kept small",
        ),
        (lambda p: optim.SparseAdam([p], state_dtype="int8"), "sparse_adam has no state that may be kept small"),
        (lambda p: optim.Adam([p], state_dtype="int4"), "'float32' or 'bfloat16' or 'int8'"),
        (lambda p: optim.Adam([p], state_dtype="int8", differentiable=True), "autograd cannot follow"),
        (lambda p: optim.Adam([p.double()], state_dtype="int8"), "a parameter of torch.float64 keeps full state"),
        (lambda p: optim.Adam([p.cfloat()], state_dtype="int8"), "a parameter of torch.complex64 keeps full state"),
        (
            lambda p: optim.SGD([{"params": [p], "state_dtype": "int8"}], momentum=0.0),
            "sgd has no state that may be kept small",
        ),
    ],
)
def test_what_does_not_go_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build(torch.zeros(LIMIT))


@each_small
@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
def test_momentum_takes_a_sparse_gradient_as_the_dense_one_that_it_is(small):
    outcome = []
    for layout in (torch.strided, torch.sparse_coo):
        p = torch.nn.Parameter(torch.zeros(LIMIT, 2))
        optimizer = optim.SGD([p], lr=0.1, momentum=0.9, state_dtype=small)
        for step in range(3):
            g = torch.zeros_like(p)
            g[[1, 7 + step]] = torch.tensor([0.3, -2.0])
            run(optimizer, [[g.to_sparse(1) if layout is torch.sparse_coo else g]])
        outcome.append(optimizer)
    same(*outcome)
    assert p[[1, 7]].all()


def test_what_shows_in_the_step_is_refused_there():
    p = torch.nn.Parameter(torch.zeros(LIMIT, 2))
    optimizer = optim.Adagrad([p], state_dtype="int8")
    p.grad = torch.ones(LIMIT, 2).to_sparse(1)
    with pytest.raises(RuntimeError, match="state_dtype='int8' with a sparse gradient"):
        optimizer.step()
    p.grad = torch.ones(LIMIT, 2)
    optimizer.step()


def test_a_rule_says_what_may_be_small_and_how():
    with pytest.raises(thalweg.RuleError, match="moments has 'x': 'signed'"):
        Rule("r", "t", "s", copy_step, copies, moments={"x": "signed"})
    with pytest.raises(thalweg.RuleError, match="and the kinds signed, unsigned, slow"):
        Rule("r", "t", "s", copy_step, copies, moments={"a": "positive"})


@pytest.mark.parametrize("subject", KEEPS, ids=str)
def test_what_rules_declare_unsigned_is_never_below_zero(subject):
    params = parameters([(50,)])
    optimizer = subject.build(params, engine="reference")
    for given in gradients([(50,)], 40, torch.float32):
        run(optimizer, [given])
        for letter, kind in subject.entry.rule.moments.items():
            assert kind != "unsigned" or (optimizer.state[params[0]][subject.entry.rule.torch_names[letter]] >= 0).all()


# -- the kernel --------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(DEVICE.type != "cpu", reason="reads the CPU kernel's machine code")
@each_small
def test_every_loop_over_a_block_is_vectorised(small):
    [p] = parameters([(LIMIT,)])
    optimizer = optim.Adam([p], state_dtype=small)
    update = optimizer._update(optimizer.param_groups[0])
    module = cpu.build(update, torch.float32, form=form_of(update.rule.moments, small, p))
    span = numba.njit(**{**module.OPTIONS, "cache": False})(module.span.py_func)
    table, rows = numba.types.int64[:, ::1], numba.types.float32[:, ::1]
    span.compile((numba.types.int64, numba.types.int64, table, table, rows))
    [machine], [middle] = span.inspect_asm().values(), span.inspect_llvm().values()
    loops = cpu.source(update, torch.float32, form=form_of(update.rule.moments, small, p)).count("for __i in")
    assert loops == (4 if small == "int8" else 1)
    assert len(re.findall(r"^vector\.body\d*:", middle, re.M)) == loops
    packed = [r"vsqrtps\s.*%[yz]mm", r"vps[rl]ld\s.*%[yz]mm", r"vpaddd\s.*%[yz]mm"]
    packed += [r"vpmaxud\s.*%[yz]mm"] if small == "int8" else []
    for word in packed:
        assert re.search(word, machine), word
    assert not re.search(r"\bv?(?:cvtps2pd|cvtss2sd|mulsd|mulpd|addpd)\s", machine), "double precision"
