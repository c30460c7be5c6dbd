"""A state is split over processes as its parameter is, however it was saved: kernels know addresses alone."""

from __future__ import annotations

import os
import traceback
from typing import Any

import pytest
import torch
from torch import distributed

import processes
import thalweg.optim as optim

pytestmark = pytest.mark.skipif(
    not (distributed.is_available() and distributed.is_gloo_available()), reason="this torch has no gloo"
)
SIDE, STEPS = 64, 3
WAYS = {"rows to columns": (0, 1), "rows to replicas": (0, -1), "replicas to rows": (-1, 0), "rows to whole": (0, None),
        "whole to rows": (None, 0)}  # fmt: skip
# Of the last step's length. Small states are rounded once more on their way.
NEAR = {"float32": 2e-3, "bfloat16": 0.02, "int8": 0.25}


def numbers(seed: int) -> torch.Tensor:
    return torch.randn(SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


def placed(tensor: torch.Tensor, how: int | None) -> Any:
    """Whole (None), a replica on each process (-1), or split along a dimension."""
    if how is None:
        return tensor.clone()
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Replicate, Shard, distribute_tensor

    return distribute_tensor(tensor, init_device_mesh("cpu", (2,)), [Replicate() if how < 0 else Shard(how)])


def moved(start: torch.Tensor, how: int | None, steps: range, saved: Any = None, **settings: Any) -> Any:
    p = torch.nn.Parameter(placed(start, how))
    optimizer = optim.Adam([p], **settings)
    if saved is not None:
        optimizer.load_state_dict(saved)
    for step in steps:
        p.grad = placed(numbers(step), how)
        optimizer.step()
    return (p.full_tensor() if how is not None else p).detach(), optimizer.state_dict()


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    left: Any = {}
    try:
        for small in NEAR:
            for way, (before, after) in WAYS.items():
                for engine in ("reference", "cpu"):
                    settings = {"state_dtype": small, "engine": engine}
                    there, saved = moved(numbers(99), before, range(STEPS), **settings)
                    left[small, way, engine] = moved(there, after, range(STEPS, STEPS + 1), saved, **settings)[0]
    except Exception:
        left = traceback.format_exc()
    torch.save(left, f"{folder}/{rank}.pt")
    os._exit(0)  # without a farewell, as in test_distributed.py


def test_states_of_another_sharding_become_the_parameters(tmp_path):
    processes.start(work, (str(tmp_path),), 2)
    expected = moved(numbers(99), None, range(STEPS + 1))[0]
    length = (expected - moved(numbers(99), None, range(STEPS))[0]).abs().max()
    for rank in range(2):
        left = torch.load(tmp_path / f"{rank}.pt")
        assert not isinstance(left, str), left
        far = {case: float((found - expected).abs().max() / length) for case, found in left.items()}
        assert len(far) == 3 * len(WAYS) * 2
        assert not {case: each for case, each in far.items() if not each < NEAR[case[0]]}
