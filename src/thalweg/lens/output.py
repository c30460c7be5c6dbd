"""What a model's output and its gradient tell of the loss, the labels and how the batch is averaged.

The gradient of a cross-entropy's mean at the logits is (softmax - one-hot) / rows. Where each row of it sums to zero
and its negative part stands at one class, it is that, and gives away the labels: with the logits, each row's loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

MOST_ROWS = 4096  # of a batch that are read; the rest is like them


@dataclass(frozen=True)
class Output:
    """One backward pass, seen at the logits of a classifier."""

    rows: int
    classes: int
    total: float  # sum over rows of the gradient's L1 norm / 2 / (1 - p of the label): 1 for a mean, `rows` for a sum
    loss: float
    counts: Tensor | None  # rows of each label, where a row is one example
    contradicted: float  # share of rows whose label has p < 0.1 while another class has p > 0.5
    sure: float  # share of rows whose label has p > 0.5


def read(logits: Tensor, gradient: Tensor) -> Output | None:
    """None where the gradient is not that of a cross-entropy with one label a row."""
    classes = logits.shape[-1]
    if logits.dim() < 2 or classes < 2 or not logits.is_floating_point():
        return None
    one_row = logits.dim() == 2
    z, g = logits.reshape(-1, classes)[:MOST_ROWS].float(), gradient.reshape(-1, classes)[:MOST_ROWS].float()
    rows = logits.numel() // classes
    size = g.abs().sum(1)
    used = size > 0  # rows that are padded have none
    if not used.any() or not bool((g.sum(1).abs() <= 0.02 * size + 1e-3 * size.max()).all()):
        return None
    label = g.argmin(1)
    p = z.softmax(1)
    of_label = p.gather(1, label[:, None])[:, 0]
    wrong = p.scatter(1, label[:, None], 0.0).sum(1)  # 1 - p of the label, without its cancellation
    clear = used & (wrong > 1e-3 if bool((wrong > 1e-3).any()) else wrong == wrong.max())
    if not clear.any():
        return None
    factor = size[clear] / 2 / wrong[clear]  # the same for each row of a cross-entropy: 1 / rows for a mean
    if float(factor.std(unbiased=False)) > 0.1 * float(factor.mean()):
        return None
    losses = (z.logsumexp(1) - z.gather(1, label[:, None])[:, 0])[used]
    counts = torch.bincount(label[used], minlength=classes) if one_row else None
    largest = p.amax(1)
    return Output(
        rows=rows,
        classes=classes,
        total=float(factor.mean()) * int(used.sum()) * (rows / len(z)),
        loss=float(losses.mean()),
        counts=counts,
        contradicted=float(((of_label < 0.1) & (largest > 0.5))[used].float().mean()),
        sure=float((of_label > 0.5)[used].float().mean()),
    )


def offset_and_spread(logits: Tensor) -> tuple[float, float] | None:
    """The mean over all logits, and their mean deviation within a row; None for what is no row of scores."""
    if logits.dim() < 2 or logits.shape[-1] < 2 or not logits.is_floating_point():
        return None
    z = logits.reshape(-1, logits.shape[-1])[:MOST_ROWS].float()
    return float(z.mean()), float(z.std(1).mean())


def logits_of(output: Any) -> Tensor | None:
    """The tensor of scores in what a model returns: itself, `.logits`, or the first of a tuple."""
    if isinstance(output, Tensor):
        return output
    inner = getattr(output, "logits", None)
    if inner is None and isinstance(output, tuple | list) and output:
        inner = output[0]
    return inner if isinstance(inner, Tensor) else None
