"""The few questions that are asked of the GPU itself. On the CPU, for the interpreter, each has a plain answer."""

from __future__ import annotations

import weakref
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import torch

Tensor = torch.Tensor
LEAST = (8, 0)  # the oldest compute capability that Triton supports


@cache
def lacks(device: torch.device) -> str | None:
    """Why Triton's kernels cannot run on a CUDA device; None where they can."""
    if torch.version.hip:
        return "it is on an AMD GPU, which the CUDA kernels were not made for"
    capability = torch.cuda.get_device_capability(device)
    if capability < LEAST:
        return f"its GPU has compute capability {capability[0]}.{capability[1]}; Triton needs {LEAST[0]}.{LEAST[1]}"
    return None


def on(device: torch.device) -> AbstractContextManager[Any]:
    """Triton launches on the current device: make it this one."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def capturing(device: torch.device) -> bool:
    """True while the current stream is recorded into a CUDA graph."""
    return device.type == "cuda" and torch.cuda.is_current_stream_capturing()


def staging(words: int, device: torch.device) -> Tensor:
    """Memory of the host that a copy may leave from while the host goes on.

    torch hands pinned memory out again only when the copies that left from it are done: so this needs no waiting and
    no events of our own.
    """
    return torch.empty(words, dtype=torch.int64, device="cpu", pin_memory=device.type == "cuda")


def stream_of(device: torch.device) -> Any:
    """The stream that launches go to now."""
    return torch.cuda.current_stream(device) if device.type == "cuda" else None


def used_on(tensors: list[Tensor], stream: Any) -> None:
    """Tell the allocator that another stream than the one they were made on reads these tensors."""
    for tensor in tensors:
        tensor.record_stream(stream)


def keep_with(owner: Tensor, held: Any) -> None:
    """Keep something as long as a parameter lives: a CUDA graph reads the tables that it was captured with, and does
    not own them."""
    weakref.finalize(owner, _let_go, held).atexit = False


def _let_go(held: Any) -> None:
    """Its reference ends here."""
