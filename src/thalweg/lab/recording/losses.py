"""The training loss of a task as a function of all weights: the same rows, the same random numbers, each time."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from thalweg.lab.random.seeds import derive, seed_everything
from thalweg.lab.recording.path import flat, trained
from thalweg.lab.task.data import Rows, count_rows, to_device
from thalweg.lab.task.task import Task

ROWS = 1024  # of the training data
BATCHES = 16


class Losses:
    """The mean loss over up to 1,024 training rows, without dropout, augmentation or the task's `l2`.

    Batch normalisation gets its statistics anew from these rows at each place asked for (`batchnorm` is then
    "recalibrated"): those of a run are of other weights. Where it cannot, they stay ("as trained"). What else a model
    holds beside its parameters is as the run left it.
    """

    def __init__(self, task: Task, model: nn.Module, seed: int) -> None:
        self.task, self.model, self.seed = task, model, derive(seed, "slices")
        self.batches = [to_device(batch, task.device) for batch in _rows(task, self.seed)]
        self.norms = [
            each for each in model.modules() if isinstance(each, _BatchNorm) and each.running_mean is not None
        ]
        self.batchnorm = "recalibrated" if self.norms else None
        model.eval()
        if self.norms:
            self._try()

    def __call__(self, weights: NDArray[Any]) -> float:
        with torch.no_grad():
            self._put(weights)
            if self.batchnorm == "recalibrated":
                self._recalibrate()
            return self._mean()

    def _mean(self) -> float:
        seed_everything(self.seed, self.task.device)  # what the loss draws is the same everywhere
        total = rows = 0.0
        for batch in self.batches:
            count = count_rows(batch)
            total += count * float(self.task.compute_loss(self.model, batch))
            rows += count
        return total / rows

    def _put(self, weights: NDArray[Any]) -> None:
        given, start = torch.from_numpy(np.asarray(weights)), 0
        for p in trained(self.model):
            held = flat(p)
            held.copy_(given[start : start + held.numel()])
            if held.data_ptr() != p.data_ptr():  # a copy: its memory has gaps
                (torch.view_as_real(p.data) if p.is_complex() else p.data).copy_(held.view(*p.shape, -1).squeeze(-1))
            start += held.numel()

    def _recalibrate(self) -> None:
        for norm in self.norms:
            norm.reset_running_stats()
            norm.momentum = None  # the mean of all batches
            norm.train()
        self._mean()
        for norm in self.norms:
            norm.eval()

    def _try(self) -> None:
        """A batch of one row, say, has no statistics."""
        kept = {name: buffer.clone() for name, buffer in self.model.named_buffers()}
        momenta = [norm.momentum for norm in self.norms]
        try:
            with torch.no_grad():
                self._recalibrate()
        except (ValueError, RuntimeError):
            self.batchnorm = "as trained"
            self.model.eval()
            with torch.no_grad():
                for name, buffer in self.model.named_buffers():
                    buffer.copy_(kept[name])
            for norm, momentum in zip(self.norms, momenta, strict=True):
                norm.momentum = momentum


def _rows(task: Task, seed: int) -> list[Any]:
    source = task.sources["train"]
    if isinstance(source, Rows):
        order = torch.randperm(source.rows, generator=torch.Generator().manual_seed(seed), device="cpu")
        order = order[:ROWS].sort().values
        return [tuple(tensor[order.to(tensor.device)] for tensor in source.tensors)]
    found, rows = [], 0
    seed_everything(seed, task.device)
    for batch in islice(source.batches(seed), BATCHES):
        found.append(batch)
        rows += count_rows(batch)
        if rows >= ROWS:
            break
    return found
