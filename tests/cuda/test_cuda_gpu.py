"""What only a GPU shows: graphs, streams, several devices, memory beyond 2^31 elements, the clock of the host."""

import pytest
import torch
from subjects import DEVICE, PLAIN, gradients, parameters, run

import thalweg.optim as optim
from thalweg.plan.on_device import QuantizedDevicePlan
from thalweg.tensors.quantization import LIMIT

pytestmark = pytest.mark.skipif(DEVICE.type != "cuda", reason="needs a GPU: make test-cuda")
SHAPES = [(33, 17), (5,), (), (2000,)]
GRAPHED = [subject for subject in PLAIN if subject.entry.rule.per_tensor is None and subject.entry.name != "adahessian"]


def captured(optimizer, params, static):
    """A graph that copies the static gradients, as a backward pass would leave them, and takes a step."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # the warm-up that torch's documentation asks for
        for p, g in zip(params, static, strict=True):
            p.grad = g.clone()
        optimizer.step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    for p in params:
        p.grad = None
    with torch.cuda.graph(graph):
        for p, g in zip(params, static, strict=True):
            p.grad = g * 1.0  # in the graph's own memory
        optimizer.step()
    return graph


@pytest.mark.parametrize("subject", GRAPHED, ids=str)
def test_a_graph_replays_the_steps(subject):
    given = gradients(SHAPES, 12, torch.float32)
    steady = parameters(SHAPES, torch.float32)
    run(subject.build(steady, engine="reference"), given)
    params, static = parameters(SHAPES, torch.float32), [g.clone() for g in given[0]]
    optimizer = subject.build(params, capturable=True)
    graph = captured(optimizer, params, static)  # takes the first step; capturing takes none
    for values in given[1:]:
        for g, value in zip(static, values, strict=True):
            g.copy_(value)
        graph.replay()
    for p, q in zip(params, steady, strict=True):
        assert torch.allclose(p, q, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("small", ["int8", "bfloat16"])
def test_a_graph_replays_the_steps_of_small_state(small, dtype):
    """To the bit: what is rounded stochastically takes its random bits from the step count on the device."""
    shapes = [(LIMIT + 300,), (300, 70), (5,)]
    given = gradients(shapes, 6, dtype)
    params, steady = parameters(shapes, dtype), parameters(shapes, dtype)
    static = [g.clone() for g in given[0]]
    ours, plain = (optim.AdamW(each, state_dtype=small, capturable=True) for each in (params, steady))
    graph = captured(ours, params, static)
    assert any(isinstance(plan, QuantizedDevicePlan) for _, plan in ours._stepper._plans)
    for values in given[1:]:
        for g, value in zip(static, values, strict=True):
            g.copy_(value)
        graph.replay()
    run(plain, given)
    for p, q in zip(params, steady, strict=True):
        assert torch.equal(p, q)
        assert all(torch.equal(held, plain.state[q][name]) for name, held in ours.state[p].items())


@pytest.mark.parametrize("small", ["int8", "bfloat16"])
def test_small_state_is_that_of_the_reference(small):
    """Large enough for all multiprocessors, with a tail; a float32's last bit may turn a code into its neighbor."""
    shapes = [(3_000_001,)]
    given, ends = gradients(shapes, 5, torch.float32), []
    for engine in ("cuda", "reference"):
        ends.append(optim.Adam(parameters(shapes, torch.float32), state_dtype=small, engine=engine))
        run(ends[-1], given)
    [ours], [theirs] = (list(each.state.values()) for each in ends)
    for name, held in theirs.items():
        # A code is 2^-3 of its number, a float32's last bit 2^-23: one in 2^20 elements and steps. Here 100 times that.
        assert (ours[name] != held).double().mean() <= 100 * 5 * 2.0**-20, name


def test_a_graph_and_steps_outside_it_do_not_disturb_each_other():
    """In between a step with gradients elsewhere, with a rate that changes in place."""
    given = gradients(SHAPES, 8, torch.float32)
    rate = torch.tensor(0.05, device=DEVICE)
    steady, params = parameters(SHAPES, torch.float32), parameters(SHAPES, torch.float32)
    plain = optim.Adam(steady, lr=0.05, engine="reference")
    optimizer, static = optim.Adam(params, lr=rate, capturable=True), [g.clone() for g in given[0]]
    graph = captured(optimizer, params, static)
    run(plain, given[:1])
    for index, values in enumerate(given[1:]):
        rate.fill_(0.05 / (index + 1))
        plain.param_groups[0]["lr"] = 0.05 / (index + 1)
        if index % 2:
            run(optimizer, [values])
        else:
            for g, value in zip(static, values, strict=True):
                g.copy_(value)
            graph.replay()
        run(plain, [values])
    for p, q in zip(params, steady, strict=True):
        assert torch.allclose(p, q, rtol=1e-4, atol=1e-5)


def test_a_first_step_is_not_captured():
    [p] = parameters([(9,)], torch.float32)
    p.grad = torch.ones_like(p)
    optimizer = optim.Adam([p], capturable=True)
    with pytest.raises(RuntimeError, match="take a step before the capture"), torch.cuda.graph(torch.cuda.CUDAGraph()):
        optimizer.step()


WITHOUT_WAITING = [{}, {"capturable": True}, {"fused": True}, {"state_dtype": "int8"}]


@pytest.mark.parametrize("more", [*WITHOUT_WAITING, {"state_dtype": "int8", "capturable": True}], ids=str)
def test_no_step_waits_for_the_device(more):
    params = parameters([*SHAPES, (LIMIT + 300,)], torch.float32)
    optimizer = optim.AdamW(params, **more)
    run(optimizer, gradients([*SHAPES, (LIMIT + 300,)], 2, torch.float32))
    mode = torch.cuda.get_sync_debug_mode()
    try:
        torch.cuda.set_sync_debug_mode("error")
        for _ in range(3):
            optimizer.step()
            optimizer.param_groups[0]["lr"] *= 0.5
    finally:
        torch.cuda.set_sync_debug_mode(mode)


def test_the_host_may_run_far_ahead():
    """Its staging memory is not written before it has gone: 300 steps are queued behind a long wait."""
    shapes = [(1000,)] * 20
    given = gradients(shapes, 1, torch.float32)[0]
    ahead, steady = parameters(shapes, torch.float32), parameters(shapes, torch.float32)
    optimizers = [optim.Adam(ahead, lr=0.01), optim.Adam(steady, lr=0.01)]
    for params, optimizer, waits in ((ahead, optimizers[0], False), (steady, optimizers[1], True)):
        run(optimizer, [given])
        torch.cuda._sleep(500_000_000)
        for _ in range(300):
            for p in params:
                p.grad = p.grad * 1.01
            optimizer.step()
            if waits:
                torch.cuda.synchronize()
    assert all(torch.equal(p, q) for p, q in zip(ahead, steady, strict=True))


def test_a_step_on_another_stream():
    [p], [q] = parameters([(5000,)], torch.float32), parameters([(5000,)], torch.float32)
    given = gradients([(5000,)], 6, torch.float32)
    run(optim.Adam([q]), given)
    ours, stream = optim.Adam([p]), torch.cuda.Stream()
    for index, values in enumerate(given):
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream if index % 2 else torch.cuda.current_stream()):
            run(ours, [values])
        torch.cuda.current_stream().wait_stream(stream)
    assert torch.equal(p, q)


@pytest.mark.parametrize("more", [{}, {"clip_norm": 0.5}, {"capturable": True}], ids=str)
def test_several_gpus_in_one_optimizer(more):
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    given = gradients([(50,), (60,)], 5, torch.float32)
    outcome = []
    for devices in (("cuda:0", "cuda:1"), ("cuda:0", "cuda:0")):
        params = [
            torch.nn.Parameter(p.detach().to(d))
            for p, d in zip(parameters([(50,), (60,)], torch.float32), devices, strict=True)
        ]
        optimizer = optim.Adam(params, **more)
        for values in given:
            for p, g in zip(params, values, strict=True):
                p.grad = g.to(p.device)
            optimizer.step()
        outcome.append([p.detach().cpu() for p in params])
    assert all(torch.allclose(a, b) for a, b in zip(*outcome, strict=True))


def test_more_than_two_to_the_31_elements():
    count = 2**31 + 5000
    if torch.cuda.mem_get_info()[0] < 5 * count:
        pytest.skip("needs 11 GB of free memory")
    p = torch.nn.Parameter(torch.zeros(count, dtype=torch.bfloat16, device=DEVICE))
    p.grad = torch.ones_like(p)
    optim.SGD([p], lr=0.5, rounding="nearest").step()
    assert (p[-5000:] == -0.5).all() and (p[:5000] == -0.5).all() and p.min() == p.max()


def test_the_kernels_agree_with_torch_fused():
    shapes = [(300, 700), (11,), (1,)]
    for name in ("Adam", "AdamW", "SGD", "Adagrad"):
        ours, theirs = parameters(shapes, torch.float32), parameters(shapes, torch.float32)
        run(getattr(optim, name)(ours), gradients(shapes, 20, torch.float32))
        run(getattr(torch.optim, name)(theirs, fused=True), gradients(shapes, 20, torch.float32))
        assert all(torch.allclose(p, q, rtol=1e-5, atol=1e-6) for p, q in zip(ours, theirs, strict=True))
