"""What a model's output and its gradient tell of the loss, the labels and how the batch is averaged.

The gradient of a cross-entropy's mean at the logits is (softmax - one-hot) / rows. Where each row of it sums to zero
and its negative part stands at one class, it is that, and gives away the labels: with the logits, each row's loss.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Numbers = npt.NDArray[np.float32]
MOST_ROWS = 4096  # of a batch that are read, evenly spread; the rest is like them
MOST_NUMBERS = 2**22  # in these rows, where the classes are many


@dataclass(frozen=True)
class Output:
    """One backward pass, seen at the logits of a classifier."""

    rows: int
    classes: int
    total: float  # sum over rows of the gradient's L1 norm / 2 / (1 - p of the label): 1 for a mean, `rows` for a sum
    loss: float
    counts: npt.NDArray[np.int64] | None  # rows of each label, where a row is one example
    contradicted: float  # share of rows whose label has p < 0.1 while another class has p > 0.5
    sure: float  # share of rows whose label has p > 0.5

    @property
    def floor(self) -> float:
        """The loss of guessing."""
        return math.log(self.classes)


def read(logits: Tensor, gradient: Tensor) -> Output | None:
    """None where the gradient is not that of a cross-entropy with one label a row."""
    classes = logits.shape[-1]
    if logits.dim() < 2 or classes < 2 or not logits.is_floating_point():
        return None
    z, g = _numbers(logits), _numbers(gradient)
    rows, counts = np.empty((len(z), 6)), np.zeros(classes, np.int64)
    if not _loops().of_rows(z, g, rows):
        return None
    used, factor, deviation, loss, contradicted, sure = _loops().summary(rows, counts)
    if not deviation <= 0.1 * factor:  # the same for each row of a cross-entropy: 1 / rows for a mean
        return None
    every = logits.numel() // classes
    return Output(
        rows=every,
        classes=classes,
        total=factor * used * (every / len(z)),
        loss=loss,
        counts=counts if logits.dim() == 2 else None,
        contradicted=contradicted,
        sure=sure,
    )


@cache
def _loops() -> Any:
    from thalweg.lens import output_loops

    return output_loops


def of_logits(found: Output | None, scores: Tensor, gradient: Tensor) -> bool:
    """Whether a cross-entropy takes them, whatever else pulls at them all alike; elsewhere an offset may be what the
    model is to learn. `found`: what `read` said."""
    if found is not None or scores.dim() < 2:
        return found is not None
    return read(scores, gradient - gradient.mean(-1, keepdim=True)) is not None


def _numbers(tensor: Tensor) -> Numbers:
    """Some of its rows, evenly spread, as numbers on the host."""
    whole = tensor.detach()
    whole = whole if whole.dim() == 2 else whole.reshape(-1, tensor.shape[-1])
    stride = -(-len(whole) // max(1, min(MOST_ROWS, MOST_NUMBERS // whole.shape[1])))
    some = whole if stride <= 1 else whole[::stride]
    found = some if some.is_cpu and some.dtype == torch.float32 else some.float().cpu()
    numbers: Numbers = found.contiguous().numpy()
    return numbers


def offset_and_spread(logits: Tensor) -> tuple[float, float] | None:
    """The mean over all logits, and their mean deviation within a row; None for what is no row of scores."""
    if logits.dim() < 2 or logits.shape[-1] < 2 or not logits.is_floating_point():
        return None
    found: tuple[float, float] = _loops().offset_and_spread(_numbers(logits))
    return found


def logits_of(output: Any) -> Tensor | None:
    """The tensor of scores in what a model returns: itself, `.logits`, or the first of a tuple."""
    if isinstance(output, Tensor):
        return output
    inner = getattr(output, "logits", None)
    if inner is None and isinstance(output, tuple | list) and output:
        inner = output[0]
    return inner if isinstance(inner, Tensor) else None
