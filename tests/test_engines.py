"""Every engine is judged by `reference`; the laws of memory hold on each of them."""

import warnings

import numpy as np
import pytest
import torch
from subjects import (
    DEVICE,
    EVERY_RULE_WITH_DECAY,
    FAST,
    FOR_KERNELS,
    PLAIN,
    Subject,
    give,
    gradients,
    largest,
    parameters,
    run,
    states,
)

import thalweg.optim as optim

DTYPES = (torch.float32, torch.float64)
SHAPES = [(33, 17), (5,), (), (0, 4), (1, 1)]
# Whose first 100 steps are not like the later ones: running products and sums, warm-ups, corrections that fade slowly.
LONG = ("adam", "nadam", "radam", "adagrad", "adamax", "ademamix", "asgd", "schedule_free_adamw", "prodigy")


def steps_of(subject: Subject) -> int:
    """How long a rule is followed. A decomposition takes as long as 1,000 elements do."""
    if subject.entry.rule.matrices:
        return 50
    return 400 if subject.entry.name in LONG and not subject.settings else 100


def in_turn(subjects: list[Subject]) -> list[tuple[Subject, tuple[torch.dtype, ...]]]:
    """Each rule's defaults in both precisions, each of its settings in one: what a setting changes is no dtype's."""
    return [
        (each, (DTYPES[(index + index // 4) % 2],) if each.settings else DTYPES) for index, each in enumerate(subjects)
    ]


@pytest.fixture(params=["reference", *({FAST: 0, "cuda": 0})])
def engine(request, monkeypatch):
    """Each engine; Triton's kernels run in its interpreter, on the CPU."""
    if request.param == "cuda" and DEVICE.type == "cpu":
        monkeypatch.setenv("TRITON_INTERPRET", "1")
    return request.param


def path(subject: Subject, engine: str, dtype: torch.dtype, given, **more):
    params = parameters(SHAPES, torch.float64)
    params = [torch.nn.Parameter(p.detach().to(dtype)) for p in params]
    optimizer = subject.build(params, engine=engine, **more)
    run(optimizer, [[g.to(dtype) for g in step] for step in given])
    held = [value for state in states(optimizer) for value in state.values()]
    return [tensor.detach().double().cpu().numpy() for tensor in [*params, *held]]


def distance(ours, truth) -> float:
    """The largest difference, each tensor relative to its own size."""
    return largest(
        np.abs(a - b).max() / np.maximum(1e-30, np.abs(b).max()) for a, b in zip(ours, truth, strict=True) if a.size
    )


@pytest.mark.parametrize("place", range(3))
def test_a_nan_is_at_no_distance_that_passes(place):
    """Wherever it is, and on whichever side."""
    whole = [np.ones(4), np.ones((2, 3)), np.ones(1)]
    broken = [tensor.copy() for tensor in whole]
    broken[place].flat[-1] = np.nan
    assert distance(whole, whole) == 0.0
    assert not distance(broken, whole) < np.inf and not distance(whole, broken) < np.inf


def test_an_engine_that_writes_a_nan_from_step_301_on_is_noticed():
    [subject] = [each for each in PLAIN if each.entry.name == "adam"]
    given = gradients(SHAPES, 310)
    truth = path(subject, "reference", torch.float64, given)
    assert distance(path(subject, FAST, torch.float64, given), truth) < 1e-10
    given[300][0][0, 0] = float("nan")
    assert not distance(path(subject, FAST, torch.float64, given), truth) < np.inf


@pytest.mark.parametrize(("subject", "dtypes"), in_turn(FOR_KERNELS), ids=str)
def test_cpu_agrees_with_reference_over_many_steps(subject, dtypes):
    """In float64 to rounding; in float32 the kernel is as near to the float64 truth as the reference engine is."""
    given = gradients(SHAPES, (steps := steps_of(subject)))
    given = [[g.float().double() for g in step] for step in given]  # the same numbers for both precisions
    truth = path(subject, "reference", torch.float64, given)
    if torch.float64 in dtypes:
        assert distance(path(subject, FAST, torch.float64, given), truth) < 100 * steps * np.finfo(np.float64).eps
    if torch.float32 in dtypes:
        allowed = 2 * distance(path(subject, "reference", torch.float32, given), truth) + 4 * np.finfo(np.float32).eps
        assert distance(path(subject, FAST, torch.float32, given), truth) < allowed


@pytest.mark.parametrize(
    ("subject", "dtype"),
    [(each, DTYPES[(index + index // 2) % 2]) for index, each in enumerate(EVERY_RULE_WITH_DECAY)],
    ids=str,
)
def test_triton_agrees_with_reference_in_the_interpreter(subject, dtype, monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    given = gradients(SHAPES, 8)
    truth = path(subject, "reference", dtype, given)
    assert distance(path(subject, "cuda", dtype, given), truth) < 100 * 8 * torch.finfo(dtype).eps


@pytest.mark.parametrize("size", [1023, 1024, 1025, 3000])
def test_triton_steps_full_chunks_and_odd_tails(size, monkeypatch):
    """A full aligned chunk, its tail, and a tensor that starts off the 16-byte grid."""
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    storage = torch.randn(size + 1)
    results = {}
    for engine in ("reference", "cuda"):
        for offset in (0, 1):
            p = torch.nn.Parameter(storage.clone()[offset : offset + size])
            p.grad = torch.linspace(-1, 1, size)
            optim.Adam([p], engine=engine).step()
            results[engine, offset] = p.detach()
    for offset in (0, 1):
        assert torch.allclose(results["cuda", offset], results["reference", offset], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("subject", PLAIN, ids=str)
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")  # the interpreter's NumPy says so
def test_a_nan_in_the_gradient_reaches_the_parameter(subject, engine, bad):
    """Never a number that looks fine. An infinity may stop a coordinate (x / inf = 0), but what it leaves is no lie:
    the other engines agree with the reference on it. Rules that measure whole tensors may carry a NaN to all of one."""
    shape = [(41,)]
    outcome = {}
    for name in {"reference", engine}:
        [p] = parameters(shape, torch.float32)
        optimizer = subject.build([p], engine=name)
        for step in range(3):
            g = torch.linspace(-1, 1, 41)
            if step == 1:
                g[[0, 7, 40]] = bad
            give(optimizer, p, g)
            optimizer.step()
        outcome[name] = p.detach()
    touched = torch.zeros(41, dtype=torch.bool)
    touched[[0, 7, 40]] = True
    if not subject.entry.rule.per_tensor:
        assert outcome[engine][~touched].isfinite().all()
    if np.isnan(bad):
        assert outcome[engine][touched].isnan().all()
    assert torch.equal(outcome[engine].isnan(), outcome["reference"].isnan())


@pytest.mark.parametrize("subject", PLAIN, ids=str)
def test_gradients_are_left_alone(subject, engine):
    """Turned around and with decay added, too: that is another kernel for each rule, so three have it."""
    params = parameters(SHAPES, torch.float32)
    stages = {"weight_decay": 0.1, "maximize": True} if engine == "reference" or subject.carries_stages else {}
    optimizer = subject.build(params, engine=engine, **stages)
    given = gradients(SHAPES, 1, torch.float32)[0]
    for p, g in zip(params, given, strict=True):
        give(optimizer, p, g)
    kept = [p.grad for p in params]
    optimizer.step()
    for p, g, own in zip(params, given, kept, strict=True):
        assert p.grad is own and torch.equal(own, g)


@pytest.mark.parametrize("subject", [each for each in PLAIN if not each.entry.rule.summed], ids=str)
def test_a_missing_gradient_neither_moves_nor_ages(subject, engine):
    """Parameter 1 has no gradient in steps 2 and 3: it ends as if those steps had never been."""
    shapes = [(6,), (4, 3), (2,)]
    given = gradients(shapes, 5, torch.float32)
    params = parameters(shapes, torch.float32)
    optimizer = subject.build(params, engine=engine)
    for index, step in enumerate(given):
        for p, g in zip(params, step, strict=True):
            give(optimizer, p, g)
        if index in (1, 2):
            params[1].grad = None
        optimizer.step()
    alone = parameters(shapes, torch.float32)
    run(subject.build([alone[1]], engine=engine), [[given[index][1]] for index in (0, 3, 4)])
    assert torch.equal(params[1], alone[1])
    everything = parameters(shapes, torch.float32)
    run(subject.build([everything[0], everything[2]], engine=engine), [[g[0], g[2]] for g in given])
    assert torch.equal(params[0], everything[0]) and torch.equal(params[2], everything[2])


def laid_out(kind: str, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """A tensor and a gradient for it, of one of the layouts that models have."""
    rand = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    base = rand(3, 4, 5, 6)
    if kind == "transposed":
        return rand(7, 9).t(), rand(7, 9).t()
    if kind == "transposed gradient":
        return rand(9, 7), rand(7, 9).t()
    if kind == "channels_last":
        return base.to(memory_format=torch.channels_last), rand(3, 4, 5, 6)
    if kind == "channels_last both":
        channels = torch.channels_last
        return base.to(memory_format=channels), rand(3, 4, 5, 6).to(memory_format=channels)
    if kind == "sliced":
        return rand(10, 12)[2:9, 1:10:2], rand(7, 5)
    if kind == "expanded gradient":
        return rand(6, 5), rand(6, 1).expand(6, 5)
    if kind == "offset":
        return rand(100)[3:50], rand(100)[5:52]
    if kind == "negated gradient":
        return rand(8), torch.view_as_complex(rand(8, 2)).conj().imag
    raise AssertionError(kind)


KINDS = (
    "transposed,transposed gradient,channels_last,channels_last both,sliced,expanded gradient,offset,negated gradient"
)


@pytest.mark.parametrize("kind", KINDS.split(","))
def test_layouts_change_nothing(kind):
    """What lies elsewhere in memory, in another order or with gaps, is stepped to the same values."""
    p, g = laid_out(kind, torch.Generator().manual_seed(0))
    plain = torch.nn.Parameter(p.clone(memory_format=torch.contiguous_format))
    ours = torch.nn.Parameter(p)
    around = None if p._base is None else p._base.clone()
    mine, other = optim.Adam([ours], weight_decay=0.1), optim.Adam([plain], weight_decay=0.1, engine="reference")
    for _ in range(4):
        ours.grad, plain.grad = g, g.clone(memory_format=torch.contiguous_format)
        mine.step()
        other.step()
    assert torch.allclose(ours, plain, rtol=1e-6, atol=1e-7)
    if kind == "sliced":  # the numbers between those of the slice are not the parameter's
        outside = torch.ones(10, 12, dtype=torch.bool)
        outside[2:9, 1:10:2] = False
        assert torch.equal(p._base[outside], around[outside])


def test_what_the_cpu_engine_cannot_run_is_refused_by_name_and_referred_by_auto():
    sliced = torch.nn.Parameter(torch.randn(10, 10)[:, ::2])
    sliced.grad = torch.ones_like(sliced)
    with pytest.raises(ValueError, match="gaps or overlaps in memory"):
        optim.Adam([sliced], engine="cpu").step()
    half = torch.nn.Parameter(torch.ones(3, dtype=torch.bfloat16))
    half.grad = torch.ones_like(half)
    with pytest.raises(ValueError, match="not on a CUDA device"):
        optim.Adam([half], engine="cuda").step()
    with pytest.raises(ValueError, match=r"engine='gpu': allowed are 'auto', 'reference', 'cpu', 'cuda'"):
        optim.Adam([half], engine="gpu")
    with pytest.raises(ValueError, match="meta device"):
        meta = torch.nn.Parameter(torch.ones(3, device="meta"))
        meta.grad = torch.ones(3, device="meta")
        optim.Adam([meta]).step()


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128], ids=str)
def test_complex_parameters_step_as_their_parts(dtype):
    values = torch.randn(6, 3, dtype=dtype, generator=torch.Generator().manual_seed(0))
    for cls in ("Adam", "Adagrad", "RMSprop", "SGD"):
        ours, theirs = torch.nn.Parameter(values.clone()), torch.nn.Parameter(values.clone())
        mine, other = getattr(optim, cls)([ours], lr=0.1), getattr(torch.optim, cls)([theirs], lr=0.1)
        for step in range(5):
            ours.grad = (values * (step + 1)).conj()
            theirs.grad = ours.grad.resolve_conj().clone()
            mine.step()
            other.step()
        assert torch.allclose(ours, theirs, rtol=1e-5 if dtype == torch.complex64 else 1e-12)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_change_no_bit(threads):
    """More than one share of the work: the same bits as one thread."""
    before = torch.get_num_threads()
    try:
        outcomes = []
        for number in (1, threads):
            torch.set_num_threads(number)
            shapes = [(401, 307), (70_001,), (3,), (128, 600)]
            params = parameters(shapes, torch.float32)
            run(optim.RAdam(params), gradients(shapes, 7, torch.float32))
            outcomes.append(params)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*outcomes, strict=True))


def test_without_openmp_one_thread_serves(monkeypatch):
    import numba

    from thalweg.engines import cpu

    monkeypatch.setattr(numba.config, "THREADING_LAYER", "workqueue")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    threads = cpu.Threads()
    with pytest.warns(UserWarning, match="no OpenMP library"):
        assert threads.number(10**7) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert threads.number(10**7) == 1  # said once


def test_a_fused_step_of_what_holds_no_numbers_is_torchs_error():
    p = torch.nn.Parameter(torch.ones(3, device="meta"))
    p.grad = torch.ones(3, device="meta")
    with pytest.raises(RuntimeError, match="`fused=True` requires all the params"):
        optim.Adam([p], fused=True).step()
