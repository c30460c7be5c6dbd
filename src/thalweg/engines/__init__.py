"""The engines, and which one steps a parameter. Each is imported when it is first needed.

With `engine="auto"`, parameters that fill one stretch of memory go to `cpu` on the CPU and to `cuda` on a CUDA device
where Triton is; all others (gaps in memory, other devices, steps that autograd is to record, cautious groups of rules
whose equations see no gradient) go to `reference`. An accelerator that goes there is told so once, by the logger
"thalweg". An engine asked for by name steps everything or raises: nothing falls back silently.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from importlib import import_module

import torch

from thalweg.engines.engine import Engine

NAMES = ("auto", "reference", "cpu", "cuda")
FAST = {"cpu": "cpu", "cuda": "cuda"}  # the engine of a kind of device


def load(name: str) -> Engine:
    """The engine of that name; ImportError, with what to install, where its library is missing."""
    engine: Engine = import_module(f"thalweg.engines.{name}").ENGINE
    return engine


def choose(
    name: str,
    param: torch.Tensor,
    differentiable: bool = False,
    cautious: bool = False,
    directed: bool = False,
) -> Engine:
    """The engine that steps this parameter, by name or by the rules above. `directed`: something else than its
    gradient is what the rule's equations see."""
    if differentiable and name not in ("auto", "reference"):
        raise ValueError(f"engine={name!r} with differentiable=True: only 'reference' records its steps for autograd")
    apart = cautious and directed
    if apart and name not in ("auto", "reference"):
        raise ValueError(
            f"engine={name!r} with cautious=True: kernels see the direction that this rule makes of a gradient, and "
            "only 'reference' the gradient as well; or use 'auto'"
        )
    if name == "auto":
        fast = None if differentiable or apart else _fast(param)
        return fast or _checked(load("reference"), param)
    return _checked(load(name), param)


def far(name: str, params: Sequence[torch.Tensor]) -> bool:
    """True where all of these are stepped on a device of its own, which the host would have to wait for."""
    return name == "cuda" or (name == "auto" and all(p.is_cuda for p in params) and _loaded("cuda") is not None)


def ready(name: str, device: torch.device) -> None:
    """Load the engine of a kind of device before the first step, which need not wait for imports then."""
    if name != "auto":
        load(name)
    elif device.type in FAST:
        _loaded(FAST[device.type])


def _fast(param: torch.Tensor) -> Engine | None:
    """The engine made for this parameter, or None where there is none that takes it."""
    kind = param.device.type
    if kind not in FAST:
        if kind != "meta":
            _tell(kind, "there are no kernels for it")
        return None
    engine = _loaded(FAST[kind])
    if engine is None:
        return None
    lacking = engine.lacks(param.device)
    if lacking:
        _tell(kind, lacking)
    return None if engine.refusal(param) else engine


@cache
def _loaded(name: str) -> Engine | None:
    """The engine, or None where its library is missing."""
    try:
        return load(name)
    except ImportError as error:
        if name == "cpu":
            raise
        _tell(name, str(error))
        return None


@cache
def _tell(kind: str, why: str) -> None:
    """Once in a process: the steps are right, and slower than they could be."""
    logging.getLogger("thalweg").warning("parameters on %s are stepped by plain torch operations: %s", kind, why)


def _checked(engine: Engine, param: torch.Tensor) -> Engine:
    reason = engine.refusal(param)
    if reason:
        raise ValueError(f"engine={engine.name!r} cannot step a parameter of shape {tuple(param.shape)}: {reason}")
    return engine
