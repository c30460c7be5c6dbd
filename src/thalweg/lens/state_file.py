"""An optimizer's state out of a checkpoint file: torch's own, and those of Lightning and Hugging Face around it."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

IN_A_FOLDER = ("optimizer.pt", "optimizer.bin")  # Trainer's and Accelerate's name of it
WEIGHTS_IN_A_FOLDER = ("model.safetensors", "pytorch_model.bin")
ALLOWED = 'a state_dict of an optimizer ("state" and "param_groups"), or a checkpoint that contains one'
DEPTH = 2  # how many mappings or lists a state dict may lie in: Lightning's is in a list in a mapping


def optimizer_state(path: Path) -> tuple[dict[str, Any], dict[str, Tensor] | None]:
    """The state dict of the optimizer, and the model's weights where the file or the folder has them too.

    Raises:
        ValueError: for a file that is missing, that holds more than plain values and tensors, or no optimizer.
    """
    if path.is_dir():
        return _in_a_folder(path)
    content = load(path)
    states = list(_states(content, DEPTH))
    if not states:
        raise ValueError(f"checkpoint: {path} holds {_content(content)}; must be {ALLOWED}")
    if len(states) > 1:
        raise ValueError(f"checkpoint: {path} holds {len(states)} optimizers; save the one to look at alone")
    return states[0], _weights_beside(content)


def model_weights(path: Path) -> dict[str, Tensor]:
    """The weights of a model by name.

    Raises:
        ValueError: for a file without any.
    """
    content = load(path, "model", "a model's state_dict")
    weights = _tensors(content) or _weights_beside(content)
    if weights is None:
        raise ValueError(f"model: {path} holds {_content(content)}; must be a model's state_dict")
    return weights


def load(path: Path, argument: str = "checkpoint", allowed: str = ALLOWED) -> Any:
    """What a file holds. Nothing in it is executed: `weights_only=True`.

    Args:
        path: the file.
        argument: what it was given as, for the message.
        allowed: what it must hold, for the same.

    Raises:
        ValueError: for what cannot be read that way.
    """
    if not path.is_file():
        raise ValueError(f"{argument}: {f'{path} is a folder; must be a file' if path.is_dir() else f'no file {path}'}")
    if not path.stat().st_size:
        raise ValueError(f"{argument}: {path} is empty; must be {allowed}")
    if path.suffix == ".safetensors":
        try:
            from safetensors.torch import load_file
        except ModuleNotFoundError:
            raise ValueError(f"{argument}: {path} needs safetensors: pip install safetensors") from None
        try:
            return load_file(path)
        except Exception as error:  # of the Rust library: no class of its own
            raise ValueError(f"{argument}: {path} is not a file of safetensors: {error}") from None
    if not _may_be_torchs(path):
        raise ValueError(f"{argument}: {path} is not a file of torch.save; must be {allowed}")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = next((line for line in str(error).splitlines() if "Unsupported" in line or "GLOBAL" in line), "")
        raise ValueError(
            f"{argument}: {path} is not read: only tensors and plain values are, as loading anything else would run "
            f"code. Save state_dict() alone. {reason.strip()}".strip()
        ) from None
    except (RuntimeError, EOFError, KeyError, IndexError, ValueError) as error:
        reason = f" ({str(error).partition(chr(10))[0]})" if isinstance(error, RuntimeError) else ""
        raise ValueError(
            f"{argument}: {path} is damaged, or not a file of torch.save{reason}; must be {allowed}"
        ) from None


def _may_be_torchs(path: Path) -> bool:
    """Whether a file begins as torch.save's do: a zip, a pickle, or a tar of the first versions."""
    with open(path, "rb") as file:
        head = file.read(262)
    return head[:2] == b"PK" or head[:1] == b"\x80" or head[257:] == b"ustar"


def _in_a_folder(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor] | None]:
    file = next((folder / name for name in IN_A_FOLDER if (folder / name).is_file()), None)
    if file is None:
        raise ValueError(f"checkpoint: the folder {folder} has none of {', '.join(IN_A_FOLDER)}")
    state, weights = optimizer_state(file)
    beside = next((folder / name for name in WEIGHTS_IN_A_FOLDER if (folder / name).is_file()), None)
    return state, model_weights(beside) if weights is None and beside else weights


def _states(content: Any, depth: int) -> Iterator[dict[str, Any]]:
    if isinstance(content, dict) and isinstance(content.get("param_groups"), list) and "state" in content:
        if isinstance(content["state"], dict):
            yield content
        return
    if depth:
        inner = content.values() if isinstance(content, dict) else content if isinstance(content, list) else ()
        for value in inner:
            yield from _states(value, depth - 1)


def _weights_beside(content: Any) -> dict[str, Tensor] | None:
    """The first mapping from names to tensors that lies beside the optimizer in the checkpoint."""
    values = content.values() if isinstance(content, dict) else ()
    return next((found for found in map(_tensors, values) if found), None)


def _tensors(content: Any) -> dict[str, Tensor] | None:
    if not isinstance(content, Mapping) or not content:
        return None
    plain = all(isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items())
    return dict(content) if plain else None


def _content(content: Any) -> str:
    if isinstance(content, Mapping):
        names = ", ".join(repr(name) for name in list(content)[:5])
        return f"a mapping with {names}" if names else "an empty mapping"
    return f"a {type(content).__name__}"
