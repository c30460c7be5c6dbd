"""The other libraries, brought to one shape: what each step takes away from a float64 parameter, on given gradients."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from types import ModuleType

import numpy as np
import pytest
import torch

# At most 3 steps of some 20 operations, each rounding by half a unit in the last place.
ROUNDING = 3 * 20 * np.finfo(np.float64).eps
MISSING = "the extra 'peers' is not installed"
G = np.array([[0.5, -2.0, 0.01], [1.0, -0.1, 0.02], [0.25, 3.0, -0.05]])  # three steps of three elements
P = np.array([1.0, -3.0, 2.0])
STEADY = {"gradients": np.ones((8, 1)), "start": [1.0]}
BOTH = ("torch.optim", "thalweg.optim")


def take(name: str, gradients=G, start=P, rates=None, **settings) -> np.ndarray:
    """The updates of a torch optimizer, named `module:Class`. `rates`: a new lr from a step on, counted from 1."""
    module, _, cls = name.partition(":")
    p = torch.nn.Parameter(torch.tensor(np.asarray(start, dtype=np.float64)))
    if module.startswith("thalweg"):
        settings["engine"] = "reference"
    optimizer = getattr(library(module), cls)([p], **settings)
    if hasattr(optimizer, "train"):
        optimizer.train()
    updates = []
    for step, g in enumerate(np.asarray(gradients, dtype=np.float64), 1):
        for group in optimizer.param_groups if rates and step in rates else ():
            group["lr"] = rates[step]
        before = p.detach().clone()
        p.grad = torch.tensor(g)
        optimizer.step()
        updates.append((before - p.detach()).numpy())
    return np.array(updates)


def take_optax(transformation, gradients=G, start=P) -> np.ndarray:
    """The updates of an optax transformation."""
    jax = library("jax")
    p = jax.numpy.asarray(start, dtype="float64")
    state, updates = transformation.init(p), []
    for g in np.asarray(gradients, dtype=np.float64):
        update, state = transformation.update(jax.numpy.asarray(g), state, p)
        p = p + update
        updates.append(-np.asarray(update))
    return np.array(updates)


def library(name: str) -> ModuleType:
    """Import one, or skip the test."""
    if name.partition(".")[0] == "timm":
        _let_timm_in()
    module = pytest.importorskip(name, reason=MISSING)
    if name == "jax":
        module.config.update("jax_enable_x64", True)
    return module


def _let_timm_in() -> None:
    """timm imports torchvision, and one built for another torch stops at two operators that it could not load.

    timm's optimizers need none of them: declaring the two is enough.
    """
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip(MISSING)
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error):
            raise
        for operator in ("nms", "qnms"):
            torch.library.define(f"torchvision::{operator}", "(Tensor dets, Tensor scores, float threshold) -> Tensor")


def same(updates, expected, loss: float = 1.0) -> bool:
    """Equal up to rounding, of the updates and of the parameters that they were taken from.

    `loss`: by how much a difference of almost equal numbers on the way makes rounding larger.
    """
    updates, expected = np.asarray(updates), np.asarray(expected)
    return bool(np.allclose(updates, expected, rtol=loss * ROUNDING, atol=loss * ROUNDING * np.abs(P).max()))


def means(values, beta: float, start: float = 0.0) -> np.ndarray:
    """The running means of a sequence."""
    mean, found = np.full_like(np.asarray(values[0]), start), []
    for value in values:
        mean = beta * mean + (1 - beta) * value
        found.append(mean)
    return np.array(found)


def unbias(beta: float, steps: int = len(G)) -> np.ndarray:
    """What the running means fall short by, step by step, as a column."""
    return (1 - beta ** np.arange(1, steps + 1))[:, None]


def adam(eps=0.0, inside=0.0, beta1=0.9, beta2=0.999, corrected=(True, True), gradients=G):
    """Adam's updates at lr = 1: eps outside the root and inside, and which moments are corrected."""
    m, v = means(gradients, beta1), means(gradients**2, beta2)
    m = m / unbias(beta1, len(gradients)) if corrected[0] else m
    v = v / unbias(beta2, len(gradients)) if corrected[1] else v
    return m / (np.sqrt(v + inside) + eps)


def default(name: str, setting: str):
    """What a setting is when nobody sets it."""
    module, _, cls = name.partition(":")
    return inspect.signature(getattr(library(module), cls)).parameters[setting].default
