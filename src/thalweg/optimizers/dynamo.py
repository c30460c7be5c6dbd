"""torch's methods without their guard against torch.compile, for as long as that is not loaded.

`torch.optim.Optimizer` keeps torch.compile out of `add_param_group` and `zero_grad` by a wrapper that imports all of it
when first called: 1.1 to 1.5 s of every process that makes an optimizer. While nobody has imported it, nothing is being
compiled, and there is nothing to keep out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any


def outside_dynamo(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method as it is inside its guard, until torch.compile is loaded."""
    inside = getattr(method, "__wrapped__", method)

    @wraps(inside)
    def call(*args: Any, **named: Any) -> Any:
        return (method if "torch._dynamo" in sys.modules else inside)(*args, **named)

    return call
