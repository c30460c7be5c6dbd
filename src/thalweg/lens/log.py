"""Scalars for TensorBoard, W&B or any function, one a quantity and module."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from thalweg.lens.tensor_step import TensorStep

Log = Callable[[Mapping[str, float], int], Any]
SHARES = ("zeros", "lost", "out_of_date", "ruled_by_eps")


def logger(log: Any) -> Log | None:
    """A function of a mapping and a step, out of what a user has.

    Raises:
        ValueError: for what takes no scalars.
    """
    if log is None:
        return None
    if hasattr(log, "add_scalar"):  # TensorBoard's SummaryWriter

        def write(numbers: Mapping[str, float], step: int) -> None:
            for name, number in numbers.items():
                log.add_scalar(name, number, step)

        return write
    if callable(getattr(log, "log", None)):  # a run of W&B, or its module
        return lambda numbers, step: log.log(dict(numbers), step=step)
    if not callable(log):
        raise ValueError(
            f"log: got a {type(log).__name__}; must be a SummaryWriter, a W&B run, or function(dict, step)"
        )
    return lambda numbers, step: log(dict(numbers), step)


def scalars(row: Mapping[str, TensorStep]) -> dict[str, float]:
    """The numbers of a watched step; the parameters of a module are taken together."""
    modules: dict[str, list[TensorStep]] = {}
    for name, each in row.items():
        modules.setdefault(name.rpartition(".")[0] or name, []).append(each)
    numbers: dict[str, float] = {}
    for module, own in modules.items():
        weight = sum(each.weight for each in own)
        numbers[f"lens/gradient/{module}"] = sum(each.gradient for each in own) ** 0.5
        numbers[f"lens/update_ratio/{module}"] = (
            (sum(each.step for each in own) / weight) ** 0.5 if weight else math.nan
        )
        for quantity in SHARES:
            known = [(x, each.size) for each in own if not math.isnan(x := float(getattr(each, quantity)))]
            if known:
                numbers[f"lens/{quantity}/{module}"] = sum(x * size for x, size in known) / sum(n for _, n in known)
    return {name: number for name, number in numbers.items() if not math.isnan(number)}
