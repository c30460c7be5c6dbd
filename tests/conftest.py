"""One thread a test process: several, on fewer cores than they want, wait for each other (0.03 ms a step became 16).

Tests of threads set their own number. Where THALWEG_TEST_DEVICE names another device than the CPU, tensors are made
there: what the tests say of one device they say of all.
"""

from typing import Any

import torch
from subjects import DEVICE
from torch.overrides import TorchFunctionMode

torch.set_num_threads(1)


class There(TorchFunctionMode):
    """Random numbers are drawn on the CPU, so that they are the same everywhere; NumPy sees copies."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        generator = kwargs.get("generator")
        if generator is not None and generator.device.type == "cpu" and "device" not in kwargs:
            drawn = function(*args, **kwargs, device="cpu")
            return drawn.to(DEVICE)
        if function is torch.Tensor.numpy:
            return function(args[0].cpu(), *args[1:], **kwargs)
        return function(*args, **kwargs)


if DEVICE.type != "cpu":
    torch.set_default_device(DEVICE)
    There().__enter__()


def pytest_report_header() -> str | None:
    """Which card the tests run on."""
    if DEVICE.type != "cuda":
        return None
    return f"on {torch.cuda.get_device_name(DEVICE)}, CUDA {torch.version.cuda}, torch {torch.__version__}"
