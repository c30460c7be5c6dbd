"""Around the kernels: what is sent to the device, what waits, what a graph may hold, which parameters come here."""

import logging
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from subjects import DEVICE, gradients, parameters, run
from torch.utils._python_dispatch import TorchDispatchMode

import thalweg
import thalweg.optim as optim
from thalweg import Rule, engines
from thalweg.engines import kernel
from thalweg.engines.cuda import ENGINE, compiled, scalars_on_device, source, transfer
from thalweg.engines.cuda import device as card
from thalweg.plan.on_device import DevicePlan
from thalweg.rule.hyperparameters import Rate
from thalweg.rules import lars

SHAPES = [(33, 17), (5,), (), (2000,)]


class NoWaiting(TorchDispatchMode):
    """Refuses what makes the host wait for a device: a number read out of a tensor."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        assert function is not torch.ops.aten._local_scalar_dense.default, "the host reads a number"
        assert function is not torch.ops.aten.nonzero.default, "the host waits for a size"
        return function(*args, **(kwargs or {}))


def ready(optimizer, steps=2, dtype=torch.float32):
    params = [p for group in optimizer.param_groups for p in group["params"]]
    run(optimizer, gradients([tuple(p.shape) for p in params], steps, dtype))
    return params


@pytest.mark.parametrize("rounding", ["stochastic", "master"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_step_on_the_device_reads_no_number_back(dtype, rounding, device):
    """A rate that is a tensor, clipping, steps left out, a scaler's findings: none of it passes through the host."""
    params = [torch.nn.Parameter(p.detach().to(dtype)) for p in parameters(SHAPES, torch.float32)]
    rate = torch.tensor(0.01, device=device)
    optimizer = optim.NAdam(
        params, lr=rate, capturable=True, engine="cuda", clip_norm=1.0, on_nonfinite="skip_step", rounding=rounding
    )
    ready(optimizer, dtype=dtype)
    optimizer.grad_scale = torch.tensor(2.0, device=device)
    optimizer.found_inf = torch.tensor(0.0, device=device)
    before = [p.detach().clone() for p in params]
    with NoWaiting():
        optimizer.step()
        rate.fill_(0.02)
        optimizer.step()
    assert all(not torch.equal(p, q) for p, q in zip(params, before, strict=True))
    with pytest.raises(AssertionError, match="reads a number"), NoWaiting():
        rate.item()


@pytest.mark.parametrize("name", ["LAMB", "LARS"])
def test_norms_of_tensors_are_not_read_back(name, device, monkeypatch):
    """They go from the device's memory into the rows, and change no bit by it; groups, and parameters that came late,
    have rows of their own."""
    monkeypatch.setattr(lars, "norm_here", lars.norm_there)  # the interpreter's tensors stand for a GPU's
    ends = []
    for way in ("followed", "read", "reference"):
        if way == "read":
            monkeypatch.setattr(scalars_on_device, "stays", lambda plan: False)
        params = parameters([*SHAPES, (300,), (7, 3)], torch.float32)
        groups = [
            {"params": params[:2]},
            {"params": params[2:5], "lr": 0.3, "weight_decay": 0.1},
            {"params": params[5:]},
        ]
        optimizer = getattr(optim, name)(groups, engine="reference" if way == "reference" else "cuda")
        given = gradients([tuple(p.shape) for p in params], 5, torch.float32)
        run(optimizer, given[:1])
        params.append(torch.nn.Parameter(torch.full((40,), 0.5, device=device)))
        optimizer.add_param_group({"params": params[-1:]})
        for values in given[1:]:
            for p, g in zip(params, [*values, torch.ones(40, device=device)], strict=True):
                p.grad = g
            if way == "followed" and values is not given[1]:
                with NoWaiting():
                    optimizer.step()
            else:
                optimizer.step()
        ends.append(params)
    followed, read, reference = ends
    assert all(map(torch.equal, followed, read))
    assert all(torch.allclose(p, q, rtol=1e-5, atol=1e-6) for p, q in zip(followed, reference, strict=True))


def test_a_rate_that_is_a_tensor_is_followed(device):
    rate = torch.tensor(0.1, device=device, dtype=torch.float64)
    [p], [q] = parameters([(2000,)], torch.float32), parameters([(2000,)], torch.float32)
    ours, theirs = optim.Adam([p], lr=rate, capturable=True, engine="cuda"), optim.Adam([q], lr=0.1, engine="reference")
    for lr, values in zip((0.1, 0.03, 0.5), gradients([(2000,)], 3, torch.float32), strict=True):
        rate.fill_(lr)
        theirs.param_groups[0]["lr"] = lr
        run(ours, [values])
        run(theirs, [values])
    assert torch.allclose(p, q, rtol=1e-6, atol=1e-6)


def test_a_step_left_out_on_the_device_moves_and_ages_nothing(device):
    params = parameters(SHAPES, torch.float32)
    optimizer = optim.NAdam(params, engine="cuda", fused=True)
    ready(optimizer)
    kept = [value.clone() for state in optimizer.state.values() for value in state.values()]
    before = [p.detach().clone() for p in params]
    optimizer.found_inf, optimizer.grad_scale = torch.ones(1, device=device), torch.ones(1, device=device)
    optimizer.step()
    assert all(torch.equal(p, q) for p, q in zip(params, before, strict=True))
    now = [value for state in optimizer.state.values() for value in state.values()]
    assert all(torch.equal(a, b) for a, b in zip(now, kept, strict=True))
    assert optimizer.guard.skipped_steps == 1
    optimizer.found_inf.zero_()
    optimizer.step()
    assert all(not torch.equal(p, q) for p, q in zip(params, before, strict=True))
    assert optimizer.state[params[0]]["step"].item() == 3 and optimizer.guard.skipped_steps == 1


@pytest.fixture
def sent(monkeypatch):
    """How many words each call of `Board.send` sends."""
    words, send = [], transfer.Board.send
    monkeypatch.setattr(transfer.Board, "send", lambda board: words.append(send(board)) or words[-1])
    return words


def test_only_what_changed_is_sent(sent):
    """The chunks and the table once; then the rows of numbers, and the gradients' addresses where these move."""
    params = parameters([(30,)] * 40, torch.float32)
    optimizer = optim.Adam(params, engine="cuda")
    ready(optimizer, 1)
    rows = 7 * 4 // 8 + 1  # Adam's numbers, and what fills the last 16 bytes
    del sent[:]
    optimizer.step()
    assert len(sent) == 1 and sent[0] <= rows
    params[3].grad = params[3].grad.clone()
    optimizer.step()
    assert 1 <= sent[1] - sent[0] <= 37 + 2 + rows  # from that address on
    optimizer = optim.Adam(params, engine="cuda", capturable=True)
    optimizer.step()
    del sent[:]
    optimizer.step()
    assert sent == [0]


def test_a_board_brings_across_what_the_host_wrote(device):
    board = transfer.Board({"a": (3, "int64"), "b": (5, "float32"), "c": (0, "float64"), "d": (1, "int32")}, device)
    generator = np.random.default_rng(0)
    for _ in range(20):
        for values in board.host.values():
            chosen = generator.random(len(values)) < 0.3
            values[chosen] = generator.integers(-(2**31), 2**31 - 1, chosen.sum())
        board.send()
        for name, values in board.host.items():
            assert np.array_equal(board.device[name].cpu().numpy()[: len(values)], values)
            assert board.device[name].data_ptr() % 16 == 0


def test_chunks_cover_every_element_once():
    for numels in ([0], [1], [1024, 0, 1025, 3], [5000] * 7, []):
        rows = transfer.chunks_of(numels)
        covered = [(t, b * source.BLOCK + i) for t, b in rows for i in range(source.BLOCK)]
        expected = [(t, i) for t, n in enumerate(numels) for i in range(n)]
        assert [pair for pair in covered if pair[1] < numels[pair[0]]] == expected


@pytest.mark.parametrize("size", [(256, 1), (512, 2), (4096, 8)], ids=str)
def test_the_size_of_programs_changes_no_bit(size, monkeypatch):
    outcomes = []
    for chosen in (size, compiled.SIZE):
        monkeypatch.setattr(compiled, "SIZE", chosen)
        params = parameters([(33, 157), (4097,), (), (5,)], torch.float32)
        optimizer = optim.Adam(params, engine="cuda")
        run(optimizer, gradients([tuple(p.shape) for p in params], 3, torch.float32))
        outcomes.append([*params, *(v for state in optimizer.state.values() for v in state.values())])
    assert all(map(torch.equal, *outcomes))


def test_elements_beyond_two_to_the_31_are_found(device):
    """The last block of a tensor of 2^33 elements, most of which are not there."""
    blocks = 2**33 // source.BLOCK
    update = optim.SGD([torch.nn.Parameter(torch.zeros(1))])._update({**optim.SGD([torch.zeros(1)]).defaults})
    p, g = torch.ones(source.BLOCK, device=device), torch.arange(source.BLOCK, dtype=torch.float32, device=device)
    missing = (blocks - 1) * source.BLOCK * 4
    integers = lambda *values, dtype=torch.int64: torch.tensor(values, dtype=dtype, device=device)  # noqa: E731
    module = compiled.step_kernel(update, torch.float32, thalweg.tensors.rounding.FULL, compiled.interpreted())
    module.chunk[(1,)](
        integers(0, blocks - 1, dtype=torch.int32),
        integers(p.data_ptr() - missing, blocks * source.BLOCK),
        integers(g.data_ptr() - missing),
        integers(0),
        torch.tensor([0.5], device=device),
        integers(0),
        integers(0),
        BLOCK=source.BLOCK,
        **compiled.update_options(compiled.SIZE),
    )
    assert torch.equal(p, 1 - 0.5 * g)


def test_one_launch_steps_all_groups_and_tensors_of_a_dtype(monkeypatch):
    launches = []
    launch = type(ENGINE)._launch
    monkeypatch.setattr(
        type(ENGINE), "_launch", lambda self, plan, desk: launches.append(plan) or launch(self, plan, desk)
    )
    a, b, c = parameters([(3000,), (7, 7), (2,)], torch.float32)
    half = torch.nn.Parameter(torch.ones(9, dtype=torch.bfloat16, device=DEVICE))
    optimizer = optim.RAdam([{"params": [a, half]}, {"params": [b, c], "lr": 0.5, "betas": (0.5, 0.9)}], engine="cuda")
    for p in (a, b, c, half):
        p.grad = torch.ones_like(p)
    optimizer.step()
    assert sorted(len(plan.positions) for plan in launches) == [1, 3]


# -- CUDA graphs ------------------------------------------------------------------------------------------------------


def test_what_a_graph_captures_is_its_own(monkeypatch, device):
    """Its board is written by every replay and must not be the one that other steps use. A fake says that a capture
    runs: `test_cuda_gpu.py` makes one."""
    params = parameters(SHAPES, torch.float32)
    optimizer = optim.Adam(params, engine="cuda", capturable=True)
    ready(optimizer)
    [(_, plan)] = optimizer._stepper._plans
    desk, kept = ENGINE._desks[plan], []
    board = desk.board
    monkeypatch.setattr(card, "capturing", lambda device: True)
    monkeypatch.setattr(card, "keep_with", lambda owner, held: kept.append(held))
    before = [p.detach().clone() for p in params]
    optimizer.step()
    assert kept and kept[0][0] is not board and desk.board is board
    assert kept[0][0]._staged is not None  # the copy's source lives with it
    assert all(not torch.equal(p, q) for p, q in zip(params, before, strict=True))


def test_a_capture_asks_for_no_pinned_memory_however_many_follow_each_other(monkeypatch, device):
    """CUDA refuses it while a stream is recorded. The second capture comes without a step outside between."""
    params, given = parameters(SHAPES, torch.float32), gradients(SHAPES, 1, torch.float32)[0]
    optimizer = optim.Adam(params, engine="cuda", capturable=True)
    ready(optimizer)
    kept, staging = [], card.staging

    def refusing(words, device):
        raise AssertionError("pinned memory is asked for in a capture")

    def capture():
        for p, g in zip(params, given, strict=True):
            p.grad = g.clone()  # elsewhere: in the graph's own memory
        with monkeypatch.context() as fake:
            fake.setattr(card, "capturing", lambda device: True)
            fake.setattr(card, "keep_with", lambda owner, held: kept.append(held))
            fake.setattr(card, "staging", refusing)
            optimizer.step()

    capture()
    capture()
    sources = [held[0]._staged for held in kept]
    assert len({source.data_ptr() for source in sources}) == 2  # each replay copies from its own
    for _ in range(transfer.AHEAD - 2):
        capture()
    with pytest.raises(RuntimeError, match="take a step outside"):
        capture()
    assert card.staging is staging
    optimizer.step()
    capture()


def test_a_stream_is_told_of_the_boards_memory_once(monkeypatch):
    """`record_stream` holds for as long as a tensor lives; said in every step it costs more than a small step."""
    params = parameters(SHAPES, torch.float32)
    optimizer = optim.Adam(params, engine="cuda")
    ready(optimizer)
    told = []
    monkeypatch.setattr(card, "used_on", lambda tensors, stream: told.append((len(tensors), stream)))
    for stream in ("side", "side", "side", None, "other", "side"):
        monkeypatch.setattr(card, "stream_of", lambda device, stream=stream: stream)
        optimizer.step()
    [(_, plan)] = optimizer._stepper._plans
    sizes = len({id(held) for held in ENGINE._desks[plan].board.device.values()}) + 1
    assert told == [(sizes, "side"), (sizes, "other")]


def test_the_table_is_worked_out_once_and_anew_where_something_moved(monkeypatch):
    import thalweg.engines.cuda as cuda

    made, fixed = [], cuda._fixed
    monkeypatch.setattr(cuda, "_fixed", lambda plan: made.append(plan) or fixed(plan))
    params = parameters(SHAPES, torch.float32)
    ours = optim.Adam(params, engine="cuda")
    theirs = optim.Adam(parameters(SHAPES, torch.float32), engine="reference")
    for values in gradients(SHAPES, 3, torch.float32):
        run(ours, [values])
        run(theirs, [values])
    assert len(made) == 1
    params[0].data = params[0].data.clone()
    for optimizer in (ours, theirs):
        run(optimizer, gradients(SHAPES, 1, torch.float32))
    assert len(made) == 2
    pairs = zip(params, theirs.param_groups[0]["params"], strict=True)
    assert all(torch.allclose(p, q, rtol=1e-6, atol=1e-7) for p, q in pairs)


@pytest.mark.parametrize(("name", "more"), [("Adam", {}), ("LAMB", {"capturable": True})])
def test_numbers_from_the_host_are_refused_in_a_graph(name, more, monkeypatch):
    optimizer = getattr(optim, name)(parameters(SHAPES, torch.float32), engine="cuda", **more)
    ready(optimizer)
    monkeypatch.setattr(card, "capturing", lambda device: True)
    due = "set capturable=True" if name == "Adam" else "measures whole tensors"
    with warnings.catch_warnings(), pytest.raises(RuntimeError, match=due):
        warnings.simplefilter("error")  # of a step that was cut short: this one has not begun
        optimizer.step()


def unrepeatable(step, *, lr: Rate = 0.1):
    return {"lr": lr / int(step)}


def slower(p, g, *, lr):
    p = p - lr * g
    return p


def test_a_rule_that_no_kernel_can_repeat_works_from_the_host():
    rule = Rule(name="unrepeatable", title="-", source="-", per_step=unrepeatable, per_element=slower)
    [p], [q] = parameters([(9,)], torch.float32), parameters([(9,)], torch.float32)
    ours = thalweg.optimizer(rule)([p], engine="cuda", capturable=True)
    ready(ours)
    ready(thalweg.optimizer(rule)([q], engine="reference"))
    assert not any(isinstance(plan, DevicePlan) for _, plan in ours._stepper._plans)
    assert torch.allclose(p, q)


def test_step_counts_lie_where_torch_has_them(device):
    for more, far in (({}, False), ({"capturable": True}, True), ({"fused": True}, True)):
        [p] = parameters([(4,)], torch.float32)
        optimizer = optim.Adam([p], engine="cuda", **more)
        ready(optimizer)
        step = optimizer.state[p]["step"]
        assert step.device == (device if far else torch.device("cpu")) or step.device.type == device.type
        assert isinstance(optimizer._stepper._plans[0][1], DevicePlan) is far and step.item() == 2


@pytest.mark.parametrize("first", [True, False])
def test_a_checkpoint_goes_on_whether_capturable_or_not(first):
    given = gradients(SHAPES, 6, torch.float32)
    steady, parted = parameters(SHAPES, torch.float32), parameters(SHAPES, torch.float32)
    run(optim.NAdam(steady, engine="cuda"), given)
    begun = optim.NAdam(parted, engine="cuda", capturable=first)
    run(begun, given[:3])
    again = optim.NAdam(parted, engine="cuda", capturable=not first)
    again.load_state_dict(begun.state_dict())
    run(again, given[3:])
    assert all(torch.equal(p, q) for p, q in zip(steady, parted, strict=True))


# -- which engine -----------------------------------------------------------------------------------------------------


def there(kind, dtype=torch.float32):
    """A parameter of a device that this machine may not have: what the choice asks of it."""
    flat = {"is_contiguous": lambda: True, "layout": torch.strided}
    return SimpleNamespace(device=torch.device(kind), dtype=dtype, shape=(3,), is_cuda=kind.startswith("cuda"), **flat)


def test_auto_takes_triton_on_cuda_and_says_once_where_there_is_none(monkeypatch, caplog):
    monkeypatch.setattr(card, "lacks", lambda device: None)
    monkeypatch.setattr(kernel, "ordinary", lambda cls: True)  # `there` is not a tensor at all
    engines._tell.cache_clear()
    with caplog.at_level(logging.WARNING, "thalweg"):
        assert engines.choose("auto", there("cuda:0")).name == "cuda"
        assert engines.choose("auto", there("cuda:0", torch.bfloat16), cautious=True).name == "cuda"
        assert engines.choose("auto", there("cuda:0"), cautious=True, directed=True).name == "reference"
        assert engines.choose("reference", there("cuda:0")).name == "reference"
        assert not caplog.records
        for kind in ("mps", "xpu", "mps", "xpu"):
            assert engines.choose("auto", there(kind)).name == "reference"
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2 and "mps are stepped by plain torch operations" in said[0]
    with pytest.raises(ValueError, match="engine='cuda' cannot step .* on mps"):
        engines.choose("cuda", there("mps"))
    monkeypatch.setattr(card, "lacks", lambda device: "its GPU has compute capability 7.0; Triton needs 8.0")
    with caplog.at_level(logging.WARNING, "thalweg"):
        assert engines.choose("auto", there("cuda:0")).name == "reference"
    assert "capability 7.0" in caplog.records[-1].getMessage()
    engines._tell.cache_clear()


def test_without_triton_auto_serves_and_the_name_says_what_to_install(monkeypatch, caplog):
    def missing(name):
        raise ImportError("engine='cuda' needs Triton: pip install 'thalweg[cuda]'")

    monkeypatch.setattr(engines, "import_module", lambda path: missing(path) if "cuda" in path else real(path))
    real = __import__("importlib").import_module
    engines._loaded.cache_clear()
    engines._tell.cache_clear()
    try:
        with caplog.at_level(logging.WARNING, "thalweg"):
            assert engines.choose("auto", there("cuda:0")).name == "reference"
        assert "pip install 'thalweg[cuda]'" in caplog.records[-1].getMessage()
        with pytest.raises(ImportError, match="needs Triton"):
            engines.choose("cuda", there("cuda:0"))
    finally:
        engines._loaded.cache_clear()
        engines._tell.cache_clear()
