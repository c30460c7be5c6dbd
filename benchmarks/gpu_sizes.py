"""How large a program of the CUDA kernels is best on this card: Adam with other numbers of elements and warps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

import thalweg.optim as optim
from interleave import Pace, compared, interleave
from on_cuda import Clock, Room
from report import number, spread, table
from thalweg.engines.cuda import compiled

SIZES: tuple[compiled.Size, ...] = ((512, 2), (1024, 2), (2048, 4), (2048, 8), (4096, 8))
WAYS = {"100M parameters in 2 tensors": [(8192, 8192), (33_000_000,)], "350 tensors": [(104, 104), (104,)] * 175}
DRY = {"2 tensors": [(40, 41), (33,)]}


@contextmanager
def sized(size: compiled.Size) -> Iterator[None]:
    """Plans whose first step is taken inside have programs of this size."""
    before, compiled.SIZE = compiled.SIZE, size
    try:
        yield
    finally:
        compiled.SIZE = before


def measured(dry: bool) -> str:
    """A table of all sizes, interleaved."""
    device = torch.device("cpu" if dry else "cuda")
    parts = []
    for way, shapes in (DRY if dry else WAYS).items():
        room, turns = Room(shapes, device), {}
        clock = Clock(device, 2 if dry else 10)
        for size in (compiled.SIZE, *SIZES):
            params = room.params(own=False)
            optimizer = optim.Adam(params, lr=1e-4, **({"engine": "cuda"} if dry else {}))  # type: ignore[arg-type]
            with sized(size):
                optimizer.step()
            name = f"{size[0]} elements, {size[1]} warps"
            turns["ours" if size == compiled.SIZE else name] = clock.turn(optimizer.step)
        rounds = interleave(turns, Pace(seconds=0.0 if dry else 5.0, least=2, most=100, warm_up=1))
        found = compared(rounds, 0)
        lines = [
            (
                f"{compiled.SIZE[0]} elements, {compiled.SIZE[1]} warps (as it is)" if name == "ours" else name,
                spread(one["us"]),
                spread(one["times_ours"]),
                number(28 * room.numel / one["us"]["median"] / 1e3),
            )
            for name, one in found.items()
        ]
        parts.append(
            f"## Sizes of programs, {way}\n\n" + table(("", "GPU, us a step", "time / as it is", "GB/s"), lines)
        )
        del room
    return "\n\n".join(parts)
