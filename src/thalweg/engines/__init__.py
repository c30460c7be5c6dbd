"""The engines, and which one steps a parameter. Each is imported when it is first needed.

With `engine="auto"`, parameters on the CPU that fill one stretch of memory go to `cpu`; all others (gaps in memory,
other devices, steps that autograd is to record, cautious groups, whose elements are counted) go to `reference`. An
engine asked for by name steps everything or raises: nothing falls back silently.
"""

from __future__ import annotations

from importlib import import_module

import torch

from thalweg.engines.engine import Engine

NAMES = ("auto", "reference", "cpu", "cuda")


def load(name: str) -> Engine:
    """The engine of that name; ImportError, with what to install, where its library is missing."""
    engine: Engine = import_module(f"thalweg.engines.{name}").ENGINE
    return engine


def choose(
    name: str, param: torch.Tensor, differentiable: bool = False, cautious: bool = False, state_dtype: str = "float32"
) -> Engine:
    """The engine that steps this parameter, by name or by the rules above."""
    if differentiable and name not in ("auto", "reference"):
        raise ValueError(f"engine={name!r} with differentiable=True: only 'reference' records its steps for autograd")
    if cautious and name not in ("auto", "reference"):
        raise ValueError(
            f"engine={name!r} with cautious=True: only 'reference' counts over whole tensors; or use 'auto'"
        )
    if name == "cuda" and state_dtype != "float32":
        raise ValueError(
            f"engine='cuda' with state_dtype={state_dtype!r}: its kernels keep float32 state; allowed are 'reference', "
            "and 'auto', which goes there"
        )
    if differentiable or cautious:
        name = "reference"
    if name == "auto":
        if param.device.type == "cpu":
            fast = load("cpu")
            if fast.refusal(param) is None:
                return fast
        name = "reference"
    engine = load(name)
    reason = engine.refusal(param)
    if reason:
        raise ValueError(f"engine={name!r} cannot step a parameter of shape {tuple(param.shape)}: {reason}")
    return engine
