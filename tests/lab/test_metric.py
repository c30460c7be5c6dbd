"""A metric that cannot be worked out shows before the study starts; so does one that is worked out and no number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import little
import pytest
import torch

from thalweg.lab.errors import TaskError
from thalweg.lab.verbs.compare import compare


def raises(output: torch.Tensor, target: torch.Tensor) -> float:
    raise KeyError("auc")


def a_dictionary(output: torch.Tensor, target: torch.Tensor) -> Any:
    return {"auc": 0.5}


def rows(output: torch.Tensor, target: torch.Tensor) -> Any:
    return output[:, 0]


def nan(output: torch.Tensor, target: torch.Tensor) -> float:
    return float("nan")


def none(model: Any, batch: Any) -> Any:
    return None


def needs_all(output: torch.Tensor, target: torch.Tensor) -> float:
    """A whole part is judged at once: one batch of it would be too little to try."""
    if len(target) < 64:
        raise ValueError("too few rows")
    return 0.5


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (raises, "metric: raised KeyError: 'auc'"),
        (a_dictionary, "metric: returned dict; must return one number"),
        (rows, r"metric: returned Tensor of shape \(64,\); must return one number"),
        (nan, "metric: is nan on the validation data of the untrained model"),
        (none, "metric: returned NoneType; must return one number"),
    ],
)
def test_it_is_tried_before_anything_runs(metric: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=message):
        compare(little.task(metric=metric, direction="max"), ["sgd"], out=tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_one_that_needs_the_whole_part_passes() -> None:
    little.task(metric=needs_all, direction="max").check()
    little.task(metric=lambda output, target: torch.tensor(float("inf")), direction="max").check()
