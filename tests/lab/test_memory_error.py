"""Memory that runs out has one name, whichever runner was at work."""

from __future__ import annotations

from typing import Any

import little
import pytest
import torch
from asking import jobs

from thalweg.lab.runners import Alone, Processes
from thalweg.lab.runners.lanes.runner import Lanes
from thalweg.lab.runners.runner import Runner


class Full(torch.optim.SGD):
    def step(self, closure: Any = None) -> Any:
        raise MemoryError("of the optimizer's own")


class FullSoon(torch.optim.SGD):
    def __init__(self, params: Any, lr: float = 0.1) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")


@pytest.mark.apart
@pytest.mark.parametrize("runner", [Alone(), Lanes(4), Processes(1, Lanes(4), 4)], ids=["alone", "lanes", "processes"])
def test_a_memory_error_in_an_optimizer_is_out_of_memory(runner: Runner) -> None:
    asked = jobs([Full, FullSoon, torch.optim.SGD], rates=[0.1], seeds=1)
    with runner:
        ended = {trial.id: (trial.status, trial.message) for trial in runner.run(little.task(), asked)}
    assert [ended[job.id][0] for job in asked] == ["out of memory", "out of memory", "done"]
    assert ended[asked[0].id][1] == "MemoryError: of the optimizer's own"
