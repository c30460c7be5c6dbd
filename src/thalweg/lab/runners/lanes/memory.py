"""How many lanes there is room for."""

from __future__ import annotations

import torch

from thalweg.lab.task.task import Task
from thalweg.lab.training.batches import rounds

Tensor = torch.Tensor
COPIES = 8  # a parameter's gradient, states, best weights, and what the passes make of them beside


def bytes_of_a_lane(task: Task) -> int:
    """What one run holds: its parameters several times over, and what its forward pass keeps for the backward."""
    model = task.build(0).train()
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    batch = next(next(rounds(task, 0, 1)))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = task.compute_loss(model, batch)
    del loss
    return COPIES * sum(p.numel() * p.element_size() for p in model.parameters()) + 2 * sum(kept.values()) + 1


def available(device: str) -> float:
    """Bytes that can be had now."""
    if torch.device(device).type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    import psutil

    return float(psutil.virtual_memory().available)
