"""What of this process a run depends on, and a run's code may change: later runs find it as it was."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch

from thalweg.lab.random.seeds import preserving_random_state

# What an optimizer says of a step that was cut short: true, and of no use where the run is thrown away with it.
CUT_SHORT = r"(KeyboardInterrupt|TimedOut|OutOfTime) cut a step short"


@contextmanager
def throwing_away() -> Iterator[None]:
    """For runs that nobody goes on with once they are broken off: by Ctrl-C, a time limit or a budget's end."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", CUT_SHORT, RuntimeWarning)
        yield


def surroundings() -> dict[str, Any]:
    """The state a run's numbers depend on, beside its random numbers."""
    return {
        "dtype": torch.get_default_dtype(),
        "device": _default_device(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warn_only": torch.is_deterministic_algorithms_warn_only_enabled(),
        "precision": torch.get_float32_matmul_precision(),
        "threads": torch.get_num_threads(),
        "grad": torch.is_grad_enabled(),
        "folder": _folder(),
    }


def adopt(state: dict[str, Any]) -> None:
    """Make this process as it was when `surroundings` was asked; what is so already is not touched."""
    now = surroundings()
    changed = {name for name, value in state.items() if now[name] != value}
    if "threads" in changed:
        torch.set_num_threads(state["threads"])
    if "dtype" in changed:
        torch.set_default_dtype(state["dtype"])
    if "device" in changed:
        torch.set_default_device(None if state["device"] == "cpu" else state["device"])
    if changed & {"deterministic", "warn_only"}:  # not for nothing: it imports torch's compiler, 0.7 s
        torch.use_deterministic_algorithms(state["deterministic"], warn_only=state["warn_only"])
    if "precision" in changed:
        torch.set_float32_matmul_precision(state["precision"])
    if "grad" in changed:
        torch.set_grad_enabled(state["grad"])
    if "folder" in changed:
        with suppress(OSError):  # it is gone, or on another machine it never was
            os.chdir(state["folder"])


@contextmanager
def preserving_surroundings() -> Iterator[None]:
    """Put it all back afterwards, whatever the user's code has set."""
    before = surroundings()
    try:
        yield
    finally:
        adopt(before)


@contextmanager
def preserving_process(device: str) -> Iterator[None]:
    """For code of the user's: the random state and the surroundings come back."""
    with preserving_surroundings(), preserving_random_state(device):
        yield


def _default_device() -> str:
    try:
        return str(torch.get_default_device())
    except AttributeError:  # torch 2.6, once one was set and unset
        return "cpu"


def _folder() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was deleted under us
        return ""
