"""Kernels are files: text is written to the user's cache folder under a name made of its hash, and imported back.

A kernel can be opened and read, a debugger finds its lines, and Numba keeps the machine code beside it, so that the
next process starts warm. The folder is THALWEG_CACHE, else XDG_CACHE_HOME/thalweg, else ~/.cache/thalweg; it is
safe to delete. Where it cannot be written, a temporary folder serves this process.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import os
import sys
import tempfile
import threading
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType

import torch

from thalweg.equations import Program
from thalweg.memory import is_flat
from thalweg.storage import HALVES
from thalweg.words import WORDS

# What kernels are made for: a complex number is two real ones.
FULL = {torch.float32: "float32", torch.float64: "float64", torch.complex64: "float32", torch.complex128: "float64"}
# The arithmetic of every dtype.
DTYPES = FULL | dict.fromkeys(HALVES, "float32")


def refusal(param: torch.Tensor, kernels: str, dtypes: Collection[torch.dtype] = tuple(FULL)) -> str | None:
    """Why no kernel can step a parameter, wherever it is; None where one can."""
    if param.dtype not in dtypes:
        allowed = ", ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
        return f"its dtype is {param.dtype}; {kernels} are for {allowed}"
    if not is_flat(param):
        return "it has gaps or overlaps in memory"
    return None


def folder() -> Path:
    """Where kernels are kept."""
    chosen = os.environ.get("THALWEG_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "thalweg"


@cache
def _temporary_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="thalweg-"))


_LOADING = threading.RLock()  # else a second thread would be given a module that is half made


def load(name: str, text: str) -> ModuleType:
    """The module of this text, from the file named after its content."""
    with _LOADING:
        return _load(name, text)


def _load(name: str, text: str) -> ModuleType:
    module_name = f"thalweg_{name}_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    if module_name in sys.modules:
        return sys.modules[module_name]
    try:
        path = _write(folder() / f"{module_name}.py", text)
    except OSError:
        path = _write(_temporary_folder() / f"{module_name}.py", text)
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise
    return module


def _write(path: Path, text: str) -> Path:
    """Write the file unless it is there as it should be: a new time would make Numba compile anew."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.read_text() == text:
        return path
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return path


def words(program: Program, spelling: Mapping[str, str], decorator: str) -> str:
    """A function for each word that the program says, in an engine's spelling."""
    parts = []
    for word in sorted(program.words):
        arguments = ", ".join(inspect.signature(WORDS[word]).parameters)
        parts.append(f"\n{decorator}\ndef {word}({arguments}):\n    {spelling[word]}\n\n")
    return "".join(parts)


def body(program: Program, indent: int) -> str:
    """The rule's lines, as they stand in the innermost loop."""
    return "\n".join(" " * indent + line for line in program.lines)


def numbers(program: Program, read: str, indent: int) -> str:
    """One line for each number of the row, with the formula it was worked out from. `read` has a {} for its place."""
    pad = " " * indent
    return "\n".join(
        f"{pad}__s{index} = {read.format(index)}  # {program.explain(index)}" for index in range(len(program.formulas))
    )
