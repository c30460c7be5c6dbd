"""Lens on two processes: under FSDP2 its numbers are those of the whole parameters, under DDP each sees the mean."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from sharding import needs_fsdp2
from torch import distributed

import processes
import thalweg

pytestmark = pytest.mark.skipif(
    not (distributed.is_available() and distributed.is_gloo_available()), reason="this torch has no gloo"
)
RANKS, STEPS = 2, 6


def network():
    """A second layer of one row: a process has none of it."""
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 7), torch.nn.ReLU(), torch.nn.Linear(7, 1))


def train(model, rank=None, watch=True, make=torch.optim.Adam):
    optimizer = make(model.parameters(), lr=0.01)
    seen = thalweg.lens(optimizer, model, quiet=True)
    if watch:
        seen.__enter__()
    for step in range(STEPS):
        inputs = torch.randn(16, 4, generator=torch.Generator().manual_seed(step))
        inputs = inputs if rank is None else inputs[rank::RANKS]
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(inputs), inputs.sum(1, keepdim=True))
        loss.backward()
        optimizer.step()
        seen.loss(loss)
    seen.close()
    return seen


def numbers(seen):
    """By name without a wrapper's prefix."""
    findings = [finding.name for finding in seen.findings]
    rows = [
        (s, name.removeprefix("module."), each) for s, row in seen.record.tensors.items() for name, each in row.items()
    ]
    found = {(s, n): (e.size, e.gradient, e.weight, e.step, e.promise, e.out_of_date, e.zeros) for s, n, e in rows}
    dead = {name.removeprefix("module."): pair for name, pair in seen.record.dead.items()}
    return found, dead, seen.record.look_back, findings


def work(rank, folder):
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=RANKS)
    torch.set_num_threads(1)
    from torch.distributed.fsdp import fully_shard

    left = {}
    for make in (torch.optim.Adam, thalweg.optim.Adam):
        left["ddp", make.__module__] = numbers(
            train(torch.nn.parallel.DistributedDataParallel(network()), rank, make=make)
        )
        runs = []
        for watch in (True, False):
            model = network()
            fully_shard(model)
            seen = train(model, rank, watch, make)
            runs.append((numbers(seen) if watch else None, [p.full_tensor().detach() for p in model.parameters()]))
        left["fsdp", make.__module__] = runs[0][0]
        left["bits", make.__module__] = all(map(torch.equal, runs[0][1], runs[1][1]))
    torch.save(left, Path(folder) / f"{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lens")
    processes.start(work, (str(folder),), RANKS)
    return [torch.load(folder / f"{rank}.pt") for rank in range(RANKS)]


@needs_fsdp2
@pytest.mark.parametrize("library", [torch.optim.Adam.__module__, thalweg.optim.Adam.__module__])
@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_two_processes_see_what_one_sees(left, kind, library):
    make = torch.optim.Adam if library == torch.optim.Adam.__module__ else thalweg.optim.Adam
    alone, dead, looks, findings = numbers(train(network(), make=make))
    for rank in range(RANKS):
        ours, ours_dead, ours_looks, ours_findings = left[rank][kind, library]
        assert ours.keys() == alone.keys() and ours_dead == dead and ours_findings == findings
        for key in alone:
            assert ours[key] == pytest.approx(alone[key], rel=1e-3, abs=1e-9, nan_ok=True), key
        assert ours_looks == pytest.approx(looks, rel=1e-2, abs=1e-3)
    assert left[0]["bits", library] and left[1]["bits", library]
