"""What is over all parameters where other processes hold some of them.

A DTensor knows who holds its other parts. The optimizer that a `ZeroRedundancyOptimizer` makes on each process does
not: it is handed some of the parameters, and looks as if these were all.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from thalweg.plan.counters import Ages
from thalweg.rule.definition import Rule
from thalweg.tensors.layout import is_shard

Tensor = torch.Tensor


def group_of_maker() -> Any:
    """The process group of the ZeroRedundancyOptimizer that is making an optimizer just now; None where none is."""
    zero = sys.modules.get("torch.distributed.optim.zero_redundancy_optimizer")
    frame = sys._getframe(1) if zero is not None else None
    while frame is not None:
        if frame.f_code.co_name == "_init_local_optimizer":
            maker = frame.f_locals.get("self")
            if zero is not None and isinstance(maker, zero.ZeroRedundancyOptimizer):
                return maker.process_group
        frame = frame.f_back
    return None


def is_flattened(p: Tensor) -> bool:
    """True for a parameter of FSDP1: on several processes a piece of a stretch of tensors, which nothing tells."""
    return bool(getattr(p, "_fsdp_flattened", False))


def backend_device(group: Any, device: torch.device) -> torch.device:
    """Where a group's backend takes numbers that are on a device: NCCL's on the GPU alone."""
    from torch import distributed

    if distributed.get_backend(group) == "nccl" and device.type == "cpu":
        return torch.device("cuda", torch.cuda.current_device())
    return device


def reduced(number: Tensor, group: Any, largest: bool = False) -> Tensor:
    """The sum of a tensor, or the largest, over a group's processes."""
    from torch import distributed

    there = number.detach().to(backend_device(group, number.device), copy=True)
    distributed.all_reduce(there, distributed.ReduceOp.MAX if largest else distributed.ReduceOp.SUM, group)
    return there.to(number.device)


class GlobalSums(TorchFunctionMode):
    """Inside, a sum over a DTensor's parts is that over all of them before anything else is done with it.

    torch may leave it with the processes until it is looked at, and is wrong about what comes between: torch 2.6 gives
    `factor * sum` the factor of the first such product there was, and adds the number of `sum + number` once a process.
    """

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        from torch.distributed.tensor import Replicate

        given = function(*args, **(kwargs or {}))
        placements = given.placements if is_shard(given) else ()
        if any(each.is_partial() for each in placements):
            given = given.redistribute(placements=[Replicate() if each.is_partial() else each for each in placements])
        return given


class Sum:
    """The numbers that a rule adds up over all parameters (Prodigy), where a group's processes each hold some."""

    def __init__(self, rule: Rule, group: Any) -> None:
        self.rule, self.group = rule, group

    def over_all(self, sums: Mapping[str, Any]) -> dict[str, float]:
        """The sums over all processes; one that has nothing to add takes part as well."""
        own = torch.tensor(
            [float(sums.get(name, 0.0)) for name in self.rule.measures], dtype=torch.float64, device="cpu"
        )
        return dict(zip(self.rule.measures, reduced(own, self.group).tolist(), strict=True))

    def bring_up(self, held: Sequence[Ages]) -> None:
        """Give the carried numbers of the process that has come furthest to those that join in late."""
        from torch import distributed

        ages = next((each for each in held if {*self.rule.carried} <= {*each.names}), None)
        own = [0.0] * (1 + len(self.rule.carried))
        if ages is not None:
            rows = [0, *(ages.names.index(name) for name in self.rule.carried)]
            own = ages.values[rows, int(ages.values[0].argmax())].tolist()
        device = backend_device(self.group, torch.device("cpu"))
        mine = torch.tensor(own, dtype=torch.float64, device=device)
        every = [torch.empty_like(mine) for _ in range(distributed.get_world_size(self.group))]
        distributed.all_gather(every, mine, self.group)
        furthest = max((each.tolist() for each in every), key=lambda each: each[0])
        if ages is not None and furthest[0] > own[0]:
            for row, number in zip(rows[1:], furthest[1:], strict=True):
                ages.values[row] = number


def as_plain_numbers(measured: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Measured numbers, over all shards, as plain ones. The host waits for a GPU once, not for every number."""
    names = list(measured[0])
    numbers = [each[name] for each in measured for name in names]
    numbers = [number.full_tensor() if is_shard(number) else number for number in numbers]
    if any(isinstance(number, Tensor) and number.is_cuda for number in numbers):
        plain_ones = torch.stack(numbers).tolist() if names else []
    else:
        plain_ones = list(map(float, numbers))
    rows = [plain_ones[start : start + len(names)] for start in range(0, len(measured) * len(names), len(names) or 1)]
    return [dict(zip(names, row, strict=True)) for row in rows] if names else [{} for _ in measured]
