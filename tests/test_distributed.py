"""Two processes train as one: DistributedDataParallel, ZeroRedundancyOptimizer and FSDP2, over gloo.

Every run is made by one pair of processes, once; the tests look at what it left. The measure is a single process that
trains on the joint batch.
"""

from __future__ import annotations

import itertools
import os
import traceback
from collections.abc import Callable
from typing import Any

import pytest
import torch
from sharding import needs_fsdp2
from torch import distributed

import processes
import thalweg.optim as optim

pytestmark = pytest.mark.skipif(
    not (distributed.is_available() and distributed.is_gloo_available()), reason="this torch has no gloo"
)
RANKS, STEPS, MIDDLE = 2, 12, 5
CLASSES: dict[str, dict[str, Any]] = {
    "SGD": {"lr": 0.05, "momentum": 0.9, "weight_decay": 1e-3},
    "Adam": {"lr": 0.01},
    "RAdam": {"lr": 0.05},
}
DTYPES = {"float32": torch.float32, "float64": torch.float64}


def network(dtype: torch.dtype) -> torch.nn.Module:
    """Rows that no two processes can share evenly, and a last layer with fewer rows than processes."""
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(4, 7), torch.nn.Tanh(), torch.nn.Linear(7, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1)
    ).to(dtype)


def build(name: str, params: Any) -> torch.optim.Optimizer:
    return getattr(optim, name)(params, **CLASSES[name])


def train(model: Callable[..., Any], optimizer: Any, rank: int | None, dtype: torch.dtype, steps: range) -> None:
    """Steps on a batch of 16, of which each rank takes its half; None takes all."""
    for step in steps:
        inputs = torch.randn(16, 4, generator=torch.Generator().manual_seed(step), dtype=torch.float64).to(dtype)
        if rank is not None:
            inputs = inputs[rank::RANKS]
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(model(inputs), torch.sin(inputs).sum(1, keepdim=True)).backward()
        optimizer.step()


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """All of a tensor, wherever its shards are."""
    full = getattr(tensor, "full_tensor", None)
    return (full() if full else tensor).detach().clone()


def ddp(name: str, rank: int, dtype: torch.dtype) -> list[torch.Tensor]:
    model = torch.nn.parallel.DistributedDataParallel(network(dtype))
    optimizer = build(name, model.parameters())
    train(model, optimizer, rank, dtype, range(STEPS))
    states = [value for p in model.parameters() for value in optimizer.state[p].values()]
    return [*map(whole, model.parameters()), *map(whole, states)]


def zero(name: str, rank: int, dtype: torch.dtype) -> list[torch.Tensor]:
    """Each rank keeps the states of its own part, and a new optimizer goes on from the gathered ones."""
    from torch.distributed.optim import ZeroRedundancyOptimizer

    model = torch.nn.parallel.DistributedDataParallel(network(dtype))

    def sharded() -> Any:
        return ZeroRedundancyOptimizer(model.parameters(), optimizer_class=getattr(optim, name), **CLASSES[name])

    optimizer = sharded()
    train(model, optimizer, rank, dtype, range(MIDDLE))
    optimizer.consolidate_state_dict(0)
    gathered = [optimizer.state_dict() if rank == 0 else None]
    distributed.broadcast_object_list(gathered)
    resumed = sharded()
    resumed.load_state_dict(gathered[0])
    assert type(resumed.optim) is getattr(optim, name)
    assert len(resumed.optim.state) < len(list(model.parameters()))
    train(model, resumed, rank, dtype, range(MIDDLE, STEPS))
    return [*map(whole, model.parameters())]


def fsdp(name: str, rank: int, dtype: torch.dtype) -> list[torch.Tensor]:
    """Parameters as DTensors, a shard on each rank; saved, and gone on with in a new model and optimizer."""
    from torch.distributed.checkpoint import state_dict
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    def sharded() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        model = network(dtype)
        fully_shard(model, mesh=init_device_mesh("cpu", (RANKS,)))
        return model, build(name, model.parameters())

    model, optimizer = sharded()
    train(model, optimizer, rank, dtype, range(MIDDLE))
    options = state_dict.StateDictOptions(full_state_dict=True)
    weights = state_dict.get_model_state_dict(model, options=options)
    states = state_dict.get_optimizer_state_dict(model, optimizer, options=options)
    shared = [weights, states]
    distributed.broadcast_object_list(shared)  # only rank 0 is given the whole
    model, optimizer = sharded()
    state_dict.set_model_state_dict(model, shared[0], options=options)
    state_dict.set_optimizer_state_dict(model, optimizer, shared[1], options=options)
    train(model, optimizer, rank, dtype, range(MIDDLE, STEPS))
    states = [value for p in model.parameters() for value in optimizer.state[p].values()]
    return [*map(whole, model.parameters()), *map(whole, states)]


RUNS = {"ddp": ddp, "zero": zero, "fsdp": fsdp}


def work(rank: int, folder: str, runs: list[str]) -> None:
    """These runs, in one of the processes. One that fails leaves what it said."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=RANKS)
    left: dict[Any, Any] = {}
    for run, name, dtype in itertools.product(runs, CLASSES, DTYPES):
        try:
            left[run, name, dtype] = RUNS[run](name, rank, DTYPES[dtype])
        except Exception:
            left[run, name, dtype] = traceback.format_exc()
    torch.save(left, f"{folder}/{rank}.pt")
    # Without a farewell: taking gloo's threads down has ended a process by std::terminate, once in a few dozen runs.
    os._exit(0)


def pair(folder: Any, runs: list[str]) -> list[dict[Any, Any]]:
    """What two processes leave."""
    processes.start(work, (str(folder), runs), RANKS)
    return [torch.load(folder / f"{rank}.pt") for rank in range(RANKS)]


@pytest.fixture(scope="module")
def replicated(tmp_path_factory) -> list[dict[Any, Any]]:
    return pair(tmp_path_factory.mktemp("replicated"), ["ddp", "zero"])


@pytest.fixture(scope="module")
def sharded(tmp_path_factory) -> list[dict[Any, Any]]:
    return pair(tmp_path_factory.mktemp("sharded"), ["fsdp"])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("run", ["ddp", "zero"])
def test_two_processes_train_as_one(run, name, dtype, replicated):
    as_one(run, name, dtype, replicated)


@needs_fsdp2
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CLASSES)
def test_shards_train_as_one(name, dtype, sharded):
    as_one("fsdp", name, dtype, sharded)


def as_one(run: str, name: str, dtype: str, left: list[dict[Any, Any]]) -> None:
    """Bitwise the same on both ranks, and within rounding what one process comes to."""
    outcomes = [each[run, name, dtype] for each in left]
    for outcome in outcomes:
        assert not isinstance(outcome, str), outcome
    model = network(DTYPES[dtype])
    optimizer = build(name, model.parameters())
    first = [whole(p) for p in model.parameters()]
    train(model, optimizer, None, DTYPES[dtype], range(STEPS))
    states = [value for p in model.parameters() for value in optimizer.state[p].values()]
    alone = [*map(whole, model.parameters()), *map(whole, states)]
    assert all(map(torch.equal, *outcomes))
    assert len(outcomes[0]) == (len(first) if run == "zero" else len(alone))
    eps = torch.finfo(DTYPES[dtype]).eps
    for place, (ours, expected) in enumerate(zip(outcomes[0], alone, strict=False)):
        apart = (ours - expected).abs().max().item()
        assert apart <= 100 * STEPS * eps * expected.abs().max().item(), f"tensor {place}: {apart:.2g} apart"
    assert all(not torch.equal(a, b) for a, b in zip(first, alone, strict=False)), "nothing was trained"
