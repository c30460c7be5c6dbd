"""Rules with matrices on several processes: DDP, FSDP2 and tensor parallel come to what one process comes to.

Each process gathers a whole tensor and its matrices, works all of it out, and keeps its part.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch
from sharding import needs_fsdp2
from torch import distributed, nn

import processes
import thalweg.optim as optim

STEPS = 8
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "Shampoo": {"lr": 0.05, "update_frequency": 2},
    "SOAP": {"lr": 0.02, "precondition_frequency": 3},
    "Adafactor": {"lr": 0.1, "beta1": 0.5, "weight_decay": 0.1},
}


WIDTHS = {"ddp": 8, "tp": 8, "fsdp": 7}  # FSDP2's rows do not divide evenly


def network(kind: str) -> nn.Module:
    """Square layers, as SOAP's basis of a gradient without full rank is chance."""
    torch.manual_seed(0)
    first, second, third = (nn.Linear(WIDTHS[kind], WIDTHS[kind]) for _ in range(3))
    return nn.Sequential(first, nn.Tanh(), second, nn.Tanh(), third).double()


def train(model: nn.Module, optimizer: torch.optim.Optimizer, rows: slice, width: int) -> None:
    for step in range(STEPS):
        inputs = torch.randn(32, width, generator=torch.Generator().manual_seed(step), dtype=torch.float64)
        optimizer.zero_grad()
        nn.functional.mse_loss(model(inputs[rows]), torch.sin(inputs[rows])).backward()
        optimizer.step()


def left(kind: str, name: str, rank: int, ranks: int) -> list[torch.Tensor]:
    """The parameters after a run."""
    from torch.distributed.device_mesh import init_device_mesh

    model, mesh, rows = network(kind), init_device_mesh("cpu", (ranks,)), slice(rank, None, ranks)
    wrapped = model
    if kind == "ddp":
        wrapped = nn.parallel.DistributedDataParallel(model)
    elif kind == "fsdp":
        from torch.distributed.fsdp import fully_shard

        wrapped = fully_shard(model, mesh=mesh)
    else:
        from torch.distributed.tensor import parallel

        plan = {"0": parallel.ColwiseParallel(), "2": parallel.RowwiseParallel()}
        wrapped, rows = parallel.parallelize_module(model, mesh, plan), slice(None)
    train(wrapped, getattr(optim, name)(model.parameters(), **OPTIMIZERS[name]), rows, WIDTHS[kind])
    return [(p.full_tensor() if hasattr(p, "full_tensor") else p).detach() for p in model.parameters()]


def work(rank: int, ranks: int, folder: str, kinds: list[str]) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=ranks)
    found = {(kind, name): left(kind, name, rank, ranks) for kind in kinds for name in OPTIMIZERS}
    torch.save(found, f"{folder}/left{rank}.pt")
    distributed.barrier()
    os._exit(0)  # taking gloo's threads down can end a process by std::terminate


@pytest.mark.skipif(not (distributed.is_available() and distributed.is_gloo_available()), reason="no gloo")
@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("kinds", [["ddp", "tp"], pytest.param(["fsdp"], marks=needs_fsdp2)], ids=str)
def test_several_processes_come_to_what_one_does(kinds, ranks, tmp_path):
    processes.start(work, (ranks, str(tmp_path), kinds), ranks)
    found = [torch.load(tmp_path / f"left{rank}.pt") for rank in range(ranks)]
    for kind, name in found[0]:
        model = network(kind)
        start = [p.detach().clone() for p in model.parameters()]
        train(model, getattr(optim, name)(model.parameters(), **OPTIMIZERS[name]), slice(None), WIDTHS[kind])
        for each in found:
            for theirs, p, first in zip(each[kind, name], model.parameters(), start, strict=True):
                assert (p - first).abs().max() > 1e-2
                torch.testing.assert_close(theirs, p.detach(), rtol=1e-7, atol=1e-7, msg=f"{kind} {name}")
