"""An optimizer that fails at its first step, with a message that would break a careless page."""

from __future__ import annotations

from typing import Any

import torch


class Crash(torch.optim.SGD):
    def step(self, closure: Any = None) -> Any:
        raise RuntimeError("no such <kernel> & none </script> like it")
