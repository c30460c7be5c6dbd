"""A step that raises has not counted, and a signal in its middle leaves a plan stepped and counted, or neither."""

import signal
import warnings

import pytest
import torch

import thalweg.optim as optim
from thalweg.engines import cpu, kernel, reference

NAMES = ["SGD", "Adam", "NAdam", "Prodigy", "ScheduleFreeAdamW", "LAMB"]


def two_groups(name, dtype=torch.float32, **settings):
    torch.manual_seed(0)
    params = [torch.nn.Parameter(torch.randn(6, dtype=dtype)) for _ in range(3)]
    optimizer = getattr(optim, name)([{"params": params[:2]}, {"params": params[2:]}], **settings)
    for p in params:
        p.grad = torch.randn(6, dtype=dtype)
    return params, optimizer


def picture(params, optimizer):
    """All that a step changes, as copies."""
    held = [p.detach().clone() for p in params]
    for p in params:
        held += [value.clone() for _, value in sorted(optimizer.state.get(p, {}).items())]
    guard = optimizer.guard
    return held, (guard.clipped_steps, guard.skipped_steps)


def same(one, other):
    return (
        one[1] == other[1]
        and len(one[0]) == len(other[0])
        and all(torch.equal(a, b) for a, b in zip(one[0], other[0], strict=True))
    )


def bad_rate(optimizer, monkeypatch):
    optimizer.param_groups[1]["lr"] = "fast"
    yield
    optimizer.param_groups[1]["lr"] = optimizer.param_groups[0]["lr"]


def no_kernel(optimizer, monkeypatch):
    def no_folder(*_):
        raise PermissionError("no cache folder")

    with monkeypatch.context() as patch:
        patch.setattr(kernel, "load", no_folder)
        patch.setattr(cpu, "build", cpu.build.__wrapped__)
        optimizer._stepper = type(optimizer._stepper)("auto")  # a plan keeps its kernel
        yield


@pytest.mark.parametrize("fault", [bad_rate, no_kernel])
@pytest.mark.parametrize("begun", [0, 2])
@pytest.mark.parametrize("name", NAMES)
def test_a_step_that_raises_has_not_counted(name, begun, fault, monkeypatch):
    params, optimizer = two_groups(name, clip_norm=1e-3)
    others, unhurt = two_groups(name, clip_norm=1e-3)
    for _ in range(begun):
        optimizer.step()
        unhurt.step()
    before = picture(params, optimizer)
    for _ in fault(optimizer, monkeypatch):
        for _ in range(3):
            with pytest.raises((TypeError, PermissionError, ValueError)):
                optimizer.step()
        assert same(picture(params, optimizer), before)
    for _ in range(3):
        optimizer.step()
        unhurt.step()
    assert same(picture(params, optimizer), picture(others, unhurt))


@pytest.mark.parametrize("bad", [None, "fast"])
@pytest.mark.parametrize("setting", ["lr", "weight_decay"])
@pytest.mark.parametrize("name", [*NAMES, "Lion", "RMSprop", "Shampoo", "SOAP"])
def test_what_is_no_number_is_refused_by_its_name_before_anything_is_measured(name, setting, bad):
    """NumPy takes None for NaN, which made every parameter of the group NaN; the matrices of Shampoo were written
    before a rate was looked at."""
    params, optimizer = two_groups(name)
    optimizer.step()
    optimizer.param_groups[1][setting] = bad
    before = picture(params, optimizer)
    with pytest.raises(TypeError, match=f"{setting}={bad!r} in a parameter group"):
        optimizer.step()
    assert same(picture(params, optimizer), before)


def test_states_of_a_first_step_that_raised_do_not_pass_for_older_ones():
    """A momentum of zeros is taken for one that has seen a gradient: dampening would act on the first."""
    params, optimizer = two_groups("SGD", lr=0.1, momentum=0.9, dampening=0.5)
    others, unhurt = two_groups("SGD", lr=0.1, momentum=0.9, dampening=0.5, weight_decay=0.1)
    optimizer.param_groups[1]["lr"] = "fast"
    with pytest.raises((TypeError, ValueError)):
        optimizer.step()
    for group in optimizer.param_groups:
        group.update(lr=0.1, weight_decay=0.1)
    optimizer.step()
    unhurt.step()
    assert all(torch.equal(p, q) for p, q in zip(params, others, strict=True))


def exact_steps(engine):
    """Two kernels' parameters that every step moves by exactly 1."""
    params = [torch.nn.Parameter(torch.zeros(5000, dtype=dtype)) for dtype in (torch.float32, torch.float64)]
    for p in params:
        p.grad = torch.ones_like(p)
    return params, optim.Adam(params, lr=1.0, betas=(0.0, 0.0), eps=0.0, engine=engine)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no interval timer")
def test_a_signal_finds_all_kernels_run_and_counted_or_none():
    params, optimizer = exact_steps("cpu")
    optimizer.step()

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    hit = 0
    try:
        for trial in range(400):
            try:
                signal.setitimer(signal.ITIMER_REAL, (20 + trial % 50) * 1e-6)
                while True:
                    optimizer.step()
            except KeyboardInterrupt:
                hit += 1
            counted = {float(optimizer.state[p]["step"]) for p in params}
            assert counted == {-p[0].item() for p in params} and len(counted) == 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert hit == 400


def test_the_reference_engine_counts_each_tensor_as_it_is_written_and_says_where_it_stopped(monkeypatch):
    params, optimizer = exact_steps("reference")
    optimizer.step()
    equations, calls = reference.equations, []

    def fails_at_the_second(*given):
        calls.append(given)
        if len(calls) == 2:
            raise MemoryError("no room")
        return equations(*given)

    monkeypatch.setattr(reference, "equations", fails_at_the_second)
    with (
        pytest.warns(RuntimeWarning, match="MemoryError cut a step short: 1 of 2 parameters"),
        pytest.raises(MemoryError),
    ):
        optimizer.step()
    monkeypatch.undo()
    assert [-p[0].item() for p in params] == [2, 1] == [float(optimizer.state[p]["step"]) for p in params]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer.step()
    assert [-p[0].item() for p in params] == [3, 2] == [float(optimizer.state[p]["step"]) for p in params]


def test_a_step_cut_short_says_whose_matrices_may_have_moved_though_nothing_was_counted(monkeypatch):
    p = torch.nn.Parameter(torch.eye(4))
    optimizer = optim.Muon([p], engine="reference")
    p.grad = torch.ones(4, 4)

    def fails(*given):
        raise MemoryError("no room")

    monkeypatch.setattr(reference, "equations", fails)
    told = "0 of 1 parameters took it.*, and the matrices of muon of any that did not, may have moved"
    with pytest.warns(RuntimeWarning, match=told), pytest.raises(MemoryError):
        optimizer.step()


def test_an_estimate_of_the_curvature_outlives_a_step_that_raised():
    p = torch.nn.Parameter(torch.ones(3))
    optimizer = optim.AdaHessian([p], lr=0.1)
    optimizer.estimate((p**3).sum())
    optimizer.param_groups[0]["lr"] = "fast"
    with pytest.raises((TypeError, ValueError)):
        optimizer.step()
    optimizer.param_groups[0]["lr"] = 0.1
    q = torch.nn.Parameter(torch.ones(3))
    other = optim.AdaHessian([q], lr=0.1)
    other.estimate((q**3).sum())
    optimizer.step()
    other.step()
    assert torch.equal(p, q) and not torch.equal(p, torch.ones(3))
