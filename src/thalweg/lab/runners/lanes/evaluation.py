"""The loss and the metric of every lane over a whole part of the data: `trial.evaluate` for a stacked model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.func import vmap

from thalweg.lab.runners.lanes.forward import Streams
from thalweg.lab.runners.lanes.stack import Shared, Stack, Weights, put_into
from thalweg.lab.task.convention import inputs_and_target, takes_model
from thalweg.lab.task.data import Source, count_rows, to_device
from thalweg.lab.task.evaluation import hits, metric_of, metric_over_all

Tensor = torch.Tensor
Judged = tuple[float, float]


def judge(stack: Stack, source: Source, streams: Streams, weights: Weights | None = None) -> list[Judged]:
    """Of each lane the loss and the metric, without dropout: of the stack's weights, or of others."""
    stack.model.eval()
    try:
        with torch.no_grad():
            return _judge(stack, source, streams, weights or (stack.parameters, stack.buffers))
    finally:
        stack.model.train()


def _judge(stack: Stack, source: Source, streams: Streams, weights: Weights) -> list[Judged]:
    task, rows = stack.task, 0
    lanes = range(len(next(iter(weights[0].values()))))
    whole = callable(task.metric) and not takes_model(task.metric)
    by_output = whole or task.metric == "accuracy" or not task.loss_takes_model
    losses, metrics = [0.0] * len(lanes), [0.0] * len(lanes)
    outputs: list[Any] = []
    targets: list[Any] = []

    def question(model: nn.Module, batch: Any) -> Any:
        output = None
        if by_output:
            inputs, target = inputs_and_target(batch)
            output = model(*inputs)
        loss = task.compute_loss(model, batch) if task.loss_takes_model else task.loss(output, target)
        return (loss, output) if by_output else (loss,)

    for raw in source.batches(None):
        batch = to_device(raw, task.device)
        count = count_rows(batch)
        rows += count
        loss, *output = stack.ask(question, _shared(batch), streams, weights)
        values = loss.flatten().tolist()
        for k in lanes:
            losses[k] += count * values[k]
        if whole:
            outputs.append(output[0])
            targets.append(inputs_and_target(batch)[1])
        else:
            found = _metrics(stack, weights, batch, output[0] if output else None, values)
            for k in lanes:
                metrics[k] += count * found[k]
    total = max(1, rows)
    if whole:
        metrics = [metric_over_all(task, [output[k] for output in outputs], targets) for k in lanes]
    else:
        metrics = [metric / total for metric in metrics]
    return [(losses[k] / total, metrics[k]) for k in lanes]


def _metrics(stack: Stack, weights: Weights, batch: Any, output: Any, losses: Sequence[float]) -> Sequence[float]:
    """The metric of one batch in each lane."""
    task = stack.task
    if task.metric == "loss":
        return losses
    if task.metric == "accuracy":
        shares: list[float] = (
            vmap(hits, in_dims=(0, None))(output, inputs_and_target(batch)[1]).flatten(1).mean(1).tolist()
        )
        return shares
    model = task.build(0).eval()
    metrics = []
    for k, loss in enumerate(losses):
        put_into(model, weights, k)
        metrics.append(metric_of(task, model, batch, None, None, loss))
    return metrics


def _shared(batch: Any) -> Any:
    return torch.utils._pytree.tree_map(lambda part: Shared(part) if isinstance(part, Tensor) else part, batch)
