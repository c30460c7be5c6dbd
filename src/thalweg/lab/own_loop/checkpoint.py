"""A run's own checkpoint: written whole or not at all, with the random states, so that a run goes on to the bit."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

CHECKPOINT = "checkpoint.pt"


def save(path: Path, step: int, objects: Mapping[str, Any]) -> None:
    """Write the step, each object's `state_dict()` and the random states.

    Raises:
        TypeError: for an object that has no `state_dict` and `load_state_dict`.
    """
    content = {
        "step": step,
        "objects": {name: _stateful(name, thing).state_dict() for name, thing in objects.items()},
        "random": _random_states(),
    }
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def restore(path: Path, objects: Mapping[str, Any]) -> int:
    """Load what `save` wrote, if there is any: the step it was written at, 0 without a checkpoint.

    Raises:
        TypeError: for an object that has no `state_dict` and `load_state_dict`.
        ValueError: where the checkpoint was written of other objects.
    """
    for name, thing in objects.items():
        _stateful(name, thing)
    if not path.exists():
        return 0
    content = torch.load(path, map_location="cpu", weights_only=True)
    if set(content["objects"]) != set(objects):
        raise ValueError(
            f"restore: got {', '.join(sorted(objects)) or 'nothing'}; the checkpoint has "
            f"{', '.join(sorted(content['objects'])) or 'nothing'}: give the same names to save and restore"
        )
    for name, thing in objects.items():
        thing.load_state_dict(content["objects"][name])
    _set_random_states(content["random"])
    return int(content["step"])


def _stateful(name: str, thing: Any) -> Any:
    if not (hasattr(thing, "state_dict") and hasattr(thing, "load_state_dict")):
        raise TypeError(f"{name}: got {type(thing).__name__}; must have state_dict() and load_state_dict()")
    return thing


def _random_states() -> dict[str, Any]:
    numpy: Any = np.random.get_state(legacy=False)
    inner = numpy["state"]
    version, keys, cached = random.getstate()
    states = {
        "python": [version, torch.tensor(keys), cached],  # as a tuple torch pickles it number by number
        "numpy": [
            numpy["bit_generator"],
            torch.from_numpy(inner["key"].astype(np.int64)),
            *(int(inner["pos"]), int(numpy["has_gauss"]), float(numpy["gauss"])),
        ],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        states["cuda"] = torch.cuda.get_rng_state_all()
    return states


def _set_random_states(states: Mapping[str, Any]) -> None:
    version, words, gauss = states["python"]
    random.setstate((version, tuple(map(int, words)), gauss))
    kind, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(states["torch"])
    if "cuda" in states and torch.cuda.device_count() >= len(states["cuda"]):
        torch.cuda.set_rng_state_all(states["cuda"])
