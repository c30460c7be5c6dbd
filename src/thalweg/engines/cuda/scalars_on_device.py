"""Rows of numbers of which some were measured on tensors: these never pass through the host, which would wait."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from thalweg.plan.plan import Plan
from thalweg.tensors.layout import is_shard

Tensor = torch.Tensor
Followed = tuple[slice, int, Tensor]  # of these rows, this column, on the device


def stays(plan: Plan) -> bool:
    """True where what a plan measures goes into its rows and nowhere else. What is summed over all tensors, or carried
    to the next step, the host adds up and keeps; of a sharded tensor it is a part."""
    rule = plan.update.rule
    return bool(rule.measures) and not (
        rule.summed or {*rule.measures} & rule.carried.keys() or any(is_shard(m.param) for m in plan.members)
    )


def rows_of(plan: Plan, number: str) -> tuple[npt.NDArray[Any], list[Followed]]:
    """The rows, as `Plan.kernel_rows` has them, with zeros where a number depends on what was measured; and those, in
    double precision as on the host, for as many rows at a time as differ in nothing else."""
    program, names = plan.update.program, plan.update.rule.measures
    found = {name: torch.stack([numbers[name] for numbers in plan.measured]).double() for name in names}
    rows = np.zeros((len(plan.rows), len(program.formulas)), dtype=number)
    followed: list[Followed] = []
    for part in _alike(plan):
        *transforms, own = plan.rows[part.start]
        pieces = plan.update.element_numbers((*transforms, {**own, **{name: found[name][part] for name in names}}))
        values: tuple[Any, ...] = program.row(pieces)
        for column, value in enumerate(values):
            if isinstance(value, Tensor):
                followed.append((part, column, value))
            else:
                rows[part, column] = value
    return rows, followed


def _alike(plan: Plan) -> Iterator[slice]:
    """Stretches of rows that are of one group and age."""
    names = plan.update.rule.measures
    known = [(*transforms, {name: own[name] for name in own if name not in names}) for *transforms, own in plan.rows]
    start = 0
    for end in range(1, len(known) + 1):
        if end == len(known) or known[end] != known[start]:
            yield slice(start, end)
            start = end
