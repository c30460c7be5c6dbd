"""Who is measured: our optimizers, those of torch and DeepSpeed, and a bare stream over the same bytes."""

from __future__ import annotations

import importlib.util
import inspect
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch

from thalweg.catalogue import Entry

Shapes = Sequence[tuple[int, ...]]
Build = Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer]

LR = 1e-4  # small: the gradients never change, and the parameters must stay finite over thousands of steps
DEEPSPEED = {"adam": False, "adamw": True}  # the rule, and DeepSpeed's adamw_mode for it


def _gpt2_small() -> Iterator[tuple[int, ...]]:
    yield from ((50257, 768), (1024, 768))
    for _ in range(12):
        yield from ((768,), (768,), (768, 2304), (2304,), (768, 768), (768,))
        yield from ((768,), (768,), (768, 3072), (3072,), (3072, 768), (768,))
    yield from ((768,), (768,))


SHAPES: dict[str, Shapes] = {
    "small": [(784, 128), (128,), (128, 10), (10,)],  # 101,770 in 4 tensors
    "tensors": [(104, 104), (104,)] * 175,  # 1,911,000 in 350 tensors
    "large": list(_gpt2_small()),  # 124,439,808 in 148 tensors
}


def has_deepspeed() -> bool:
    """Whether DeepSpeed can be imported; asked without importing it."""
    return importlib.util.find_spec("deepspeed") is not None


def deepspeed_adam(adamw_mode: bool) -> Build:
    """DeepSpeed's CPUAdam; its CPU operator is built here if the installation did not."""
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    from deepspeed.ops.adam import DeepSpeedCPUAdam

    decay = 1e-2 if adamw_mode else 0.0
    return lambda params: DeepSpeedCPUAdam(params, lr=LR, weight_decay=decay, adamw_mode=adamw_mode)


def torch_class(entry: Entry) -> type[torch.optim.Optimizer] | None:
    """torch's class of the same name, where it has one that takes the entry's settings."""
    cls = getattr(torch.optim, getattr(entry.optimizer, "__name__", ""), None)
    if cls is None or not entry.settings.keys() <= inspect.signature(cls).parameters.keys():
        return None
    return cls


def builders(entry: Entry) -> dict[str, Build]:
    """Every implementation of an entry's rule that is at hand, ours first."""
    found: dict[str, Build] = {"ours": lambda params: entry.build(params, lr=LR)}
    cls = torch_class(entry)
    if cls is not None:
        flags = {"default": {}, "foreach": {"foreach": True}, "fused": {"fused": True}}
        for name, flag in flags.items():
            if flag.keys() <= inspect.signature(cls).parameters.keys():
                found[name] = lambda params, flag=flag: cls(params, lr=LR, **entry.settings, **flag)
    if entry.name in DEEPSPEED and has_deepspeed():
        found["deepspeed"] = deepspeed_adam(DEEPSPEED[entry.name])
    return found


class Start:
    """The parameters and gradients from which every subject of a shape starts."""

    def __init__(self, shapes: Shapes) -> None:
        generator = torch.Generator().manual_seed(0)
        self.values = [torch.rand(shape, generator=generator).sub_(0.5) for shape in shapes]
        self.gradients = [torch.rand(shape, generator=generator).sub_(0.5) for shape in shapes]
        self.held: dict[int, list[torch.nn.Parameter]] = {}
        self.tensors = len(self.values)
        self.numel = sum(value.numel() for value in self.values)

    def params(self, place: int) -> list[torch.nn.Parameter]:
        """Parameters at the start, each with a gradient. Who comes next to this place gets the same memory again:
        gigabytes that were given back take seconds to get anew."""
        if place not in self.held:
            self.held[place] = [torch.nn.Parameter(torch.empty_like(value)) for value in self.values]
        for param, value, gradient in zip(self.held[place], self.values, self.gradients, strict=True):
            param.data.copy_(value)
            param.grad = torch.empty_like(value) if param.grad is None else param.grad
            param.grad.copy_(gradient)
        return self.held[place]


def bytes_per_parameter(states: int) -> int:
    """What a float32 step must move: parameter and states in and out, the gradient in."""
    return ((1 + states) * 2 + 1) * 4


MOST = 4  # states of a rule


@cache
def _stream_kernel(states: int) -> Callable[..., None]:
    """One pass that reads p, g and the states, and writes p and the states; `states` is a constant in it."""
    from numba import njit, prange  # here: `make gpu` has no need of it

    @njit(parallel=True, error_model="numpy", fastmath={"contract"})
    def run(p, g, a, b, c, d, one, nought, shares):  # type: ignore[no-untyped-def]
        for share in prange(shares):
            first, last = share * len(p) // shares, (share + 1) * len(p) // shares
            p_, g_, a_ = p[first:last], g[first:last], a[first:last]
            b_, c_, d_ = b[first:last], c[first:last], d[first:last]
            for i in range(last - first):
                p_[i] = p_[i] * one + g_[i] * nought
                if states > 0:
                    a_[i] = a_[i] * one
                if states > 1:
                    b_[i] = b_[i] * one
                if states > 2:
                    c_[i] = c_[i] * one
                if states > 3:
                    d_[i] = d_[i] * one

    return run


def stream(numel: int, states: int) -> Callable[[], None]:
    """A pass over the bytes of a step and nothing else: what the memory allows.

    The arrays are torch's, as the optimizers' are: numpy would ask for huge pages and be faster for it.
    """
    import numba

    held = [torch.full((numel,), 0.5).numpy() for _ in range(2 + states)]
    arrays = [*held, *[held[0]] * (MOST - states)]
    numbers = (np.float32(1), np.float32(0), numba.get_num_threads())
    kernel = _stream_kernel(states)
    return lambda: kernel(*arrays, *numbers)


def disagreement(ours: list[torch.nn.Parameter], theirs: list[torch.nn.Parameter], start: Start) -> dict[str, Any]:
    """How far the first tensors ended apart, as a share of the way they went; and whether theirs are finite.

    What the rounding of the parameter alone explains is no distance: after a short way it is most of it.
    """
    went = (ours[0].detach() - start.values[0]).abs().max().item()
    apart = (ours[0].detach() - theirs[0].detach()).abs().max().item()
    rounding = 64 * torch.finfo(torch.float32).eps * start.values[0].abs().max().item()
    share = 0.0 if apart <= rounding else apart / went
    return {"share": share, "finite": bool(torch.isfinite(theirs[0].detach().sum()))}
