"""Tests' tensors on another device than the CPU, without a default device."""

import sys
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._device import _device_constructors

TESTS = str(Path(__file__).parent)


class There(TorchFunctionMode):
    """What tests make lies on a device. Random numbers are drawn on the CPU, so that they are the same everywhere;
    NumPy sees copies."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device = device
        self.makers = _device_constructors()

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function in self.makers and kwargs.get("device") is None and _asked_by_a_test():
            generator = kwargs.get("generator")
            if generator is not None and generator.device.type == "cpu":
                return function(*args, **{**kwargs, "device": "cpu"}).to(self.device)
            return function(*args, **{**kwargs, "device": self.device})
        if function is torch.Tensor.numpy and _asked_by_a_test():
            return function(args[0].cpu(), *args[1:], **kwargs)
        return function(*args, **kwargs)


def _asked_by_a_test() -> bool:
    """True where the code that called torch is a test's, not the library's."""
    frame = sys._getframe(2)
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == "torch":
        frame = frame.f_back
    return frame.f_code.co_filename.startswith(TESTS)
