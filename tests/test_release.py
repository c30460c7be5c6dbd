"""Steps inside the backward pass: the same result, and no gradient left."""

import gc

import pytest
import torch
from torch.utils.checkpoint import checkpoint

import thalweg.optim as optim


def train(release, name="Adam", steps=6):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.Tanh(), torch.nn.Linear(8, 8), torch.nn.Linear(8, 1))
    model[2].weight = torch.nn.Parameter(model[2].weight.detach().to(torch.float32))
    optimizer = getattr(optim, name)(model.parameters(), lr=0.05)
    scheduler = optim.lr_scheduler.StepLR(optimizer, 2, 0.5)
    if release:
        optim.release_gradients(model, optimizer)
    x = torch.randn(16, 5)
    for _ in range(steps):
        optimizer.zero_grad()
        (model(x) ** 2).mean().backward()
        if release:
            assert all(p.grad is None for p in model.parameters())
        optimizer.step()
        scheduler.step()
    return model, optimizer


@pytest.mark.parametrize("name", ["SGD", "Adam", "RAdam", "Adagrad", "LAMB"])
def test_it_is_stepping_at_the_end_bit_for_bit(name):
    if not hasattr(optim, name):
        pytest.skip("not in this version")
    (a, mine), (b, other) = train(True, name), train(False, name)
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        assert torch.equal(p, q)
        assert mine.state[p].keys() == other.state[q].keys()
        assert all(torch.equal(mine.state[p][key], other.state[q][key]) for key in mine.state[p])


def test_random_bits_are_the_same_either_way():
    outcome = []
    for release in (True, False):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.Linear(8, 1)).to(torch.bfloat16)
        optimizer = optim.SGD(model.parameters(), lr=1e-3)
        if release:
            optim.release_gradients(model, optimizer)
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.ones(4, 5, dtype=torch.bfloat16)).sum().backward()
            optimizer.step()
        outcome.append(list(model.parameters()))
    assert all(torch.equal(p, q) for p, q in zip(*outcome, strict=True))


@pytest.mark.apart
def test_one_gradient_is_alive_at_a_time():
    """Counted as each arrives: the gradients of the layers behind are gone."""
    width, alive = 64, []
    model = torch.nn.Sequential(*[torch.nn.Linear(width, width, bias=False) for _ in range(6)])
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    def count(_):
        gc.collect()
        alive.append(sum(p.grad is not None for p in model.parameters()))

    for p in model.parameters():
        p.register_post_accumulate_grad_hook(count)
    with optim.release_gradients(model, optimizer):
        model(torch.ones(2, width)).sum().backward()
    assert alive == [1] * 6
    model(torch.ones(2, width)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_switching_between_the_two_ways_keeps_the_ages():
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    optimizer = optim.Adam(model.parameters())
    for step in range(4):
        if step % 2:
            with optim.release_gradients(model, optimizer):
                model(torch.ones(1, 3)).sum().backward()
        else:
            optimizer.zero_grad()
            model(torch.ones(1, 3)).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
    assert {optimizer.state[p]["step"].item() for p in model.parameters()} == {4.0}


def test_what_needs_all_gradients_is_refused():
    model = torch.nn.Linear(2, 1)
    with pytest.raises(ValueError, match=r"clip_norm=1\.0 .* allowed are None"):
        optim.release_gradients(model, optim.Adam(model.parameters(), clip_norm=1.0))
    with pytest.raises(TypeError, match=r"is not of thalweg\.optim"):
        optim.release_gradients(model, torch.optim.Adam(model.parameters()))


class Shared(torch.nn.Module):
    """Layers that are used one after the other; `places` says which of their uses are under a reentrant checkpoint."""

    def __init__(self, order, places):
        super().__init__()
        self.layers = torch.nn.ModuleList([torch.nn.Linear(4, 4) for _ in range(3)])
        self.order, self.places = order, places

    def forward(self, x):
        for use, which in enumerate(self.order):
            layer = self.layers[which]
            x = checkpoint(layer, x, use_reentrant=True) if use in self.places else layer(x)
            x = torch.tanh(x)
        return x


def checkpointed(release, order, places, steps=5):
    torch.manual_seed(0)
    model = Shared(order, places)
    optimizer = optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    handle = optim.release_gradients(model, optimizer) if release else None
    left = []
    for step in range(steps):
        x = torch.randn(8, 4, generator=torch.Generator().manual_seed(step)).requires_grad_()
        optimizer.zero_grad()
        (model(x) ** 2).sum().backward()
        left.append(sum(p.grad is not None for p in model.parameters()))
        optimizer.step()
    if handle:
        handle.remove()
        assert not optimizer._optimizer_step_post_hooks
    return [p.detach() for p in model.parameters()], left


@pytest.mark.parametrize(
    ("order", "places", "waiting"),
    [
        ([0, 1, 2], {0, 1, 2}, 0),  # each has one gradient
        ([0, 1, 2], {1}, 0),
        ([0, 1, 0, 2], {0, 2}, 2),  # weight and bias of the first have one from each checkpoint
        ([0, 1, 0, 2, 0], {0, 2, 4}, 2),
        ([0, 1, 0], {2}, 2),  # the checkpoint's comes first, that of the other use after it
        ([0, 1, 0, 2, 0], {2, 4}, 2),
    ],
)
def test_under_a_reentrant_checkpoint(order, places, waiting):
    mine, left = checkpointed(True, order, places)
    other, _ = checkpointed(False, order, places)
    assert all(torch.equal(p, q) for p, q in zip(mine, other, strict=True))
    assert left[1:] == [waiting] * 4


def test_a_gradient_that_a_reentrant_checkpoint_brings_too_late_is_an_error():
    with pytest.raises(RuntimeError, match="a reentrant checkpoint brought one more gradient"):
        checkpointed(True, [0, 1, 0], {0})


@pytest.fixture
def one_process(tmp_path):
    distributed = pytest.importorskip("torch.distributed")
    distributed.init_process_group("gloo", f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def test_with_distributed_data_parallel_it_is_refused(one_process):
    model = torch.nn.Linear(2, 1)
    wrapped = torch.nn.parallel.DistributedDataParallel(model)
    with pytest.raises(ValueError, match="DistributedDataParallel adds gradients up over processes after"):
        optim.release_gradients(wrapped, optim.Adam(model.parameters()))
    with pytest.raises(ValueError, match="DistributedDataParallel"):
        optim.release_gradients(torch.nn.Sequential(wrapped), optim.Adam(model.parameters()))


@pytest.mark.parametrize("before", [True, False])
def test_inside_distributed_data_parallel_nothing_is_stepped(one_process, before):
    model = torch.nn.Sequential(torch.nn.Linear(2, 1))
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    if before:
        wrapped = torch.nn.parallel.DistributedDataParallel(model)
    optim.release_gradients(model, optimizer)
    if not before:
        wrapped = torch.nn.parallel.DistributedDataParallel(model)
    start = model[0].weight.detach().clone()
    with pytest.raises(RuntimeError, match="DistributedDataParallel adds gradients up"):
        wrapped(torch.ones(3, 2)).sum().backward()
    assert torch.equal(model[0].weight, start)


def _ddp(module):
    return torch.nn.parallel.DistributedDataParallel(module)


def _fsdp1(module, **settings):
    fsdp = pytest.importorskip("torch.distributed.fsdp")
    return fsdp.FullyShardedDataParallel(module, device_id=torch.device("cpu"), **settings)


def _fsdp2(module):
    fsdp = pytest.importorskip("torch.distributed.fsdp")
    if not hasattr(torch.cpu.Stream, "record_event"):
        pytest.skip("FSDP2 of torch 2.6 asks a CPU for events of its streams")
    return fsdp.fully_shard(module, mesh=torch.distributed.device_mesh.init_device_mesh("cpu", (1,)))


def _fsdp1_original(module):
    return _fsdp1(module, use_orig_params=True)


@pytest.mark.parametrize("wrap", [_ddp, _fsdp1, _fsdp1_original, _fsdp2])
@pytest.mark.parametrize("part", [False, True])
def test_a_model_that_is_wrapped_later_is_refused(wrap, part, one_process):
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1))
    params = list(model.parameters())
    optim.release_gradients(model, optim.SGD(params, lr=1.0, engine="reference"))
    start = [p.detach().clone() for p in params]
    if part:
        model[0] = wrap(model[0])
    else:
        wrapped = wrap(model)
    with pytest.raises(RuntimeError, match=r"release_gradients: .*(after they have arrived|was sharded since)"):
        (model if part else wrapped)(torch.ones(3, 2)).sum().backward()
    if wrap in (_ddp, _fsdp2):  # FSDP1 takes the parameters' memory
        assert all(torch.equal(p, q) for p, q in zip(params, start, strict=True))


def test_a_part_that_is_wrapped_later_and_called_alone_is_refused(one_process):
    model = torch.nn.ModuleDict({"body": torch.nn.Linear(2, 3), "head": torch.nn.Linear(3, 1)})
    optim.release_gradients(model, optim.SGD(model.parameters(), lr=1.0, engine="reference"))
    model["body"] = _ddp(model["body"])
    with pytest.raises(RuntimeError, match="DistributedDataParallel adds gradients up"):
        model["head"](model["body"](torch.ones(3, 2)))
