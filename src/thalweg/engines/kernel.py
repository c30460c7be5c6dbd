"""Kernels are text, run as it is and written to the kernel cache under a name made of its hash.

There a kernel can be opened and read, and a debugger finds its lines. Its machine code lies beside it, so that the next
process starts warm (`machine_code`). The file is never read back to be run.
"""

from __future__ import annotations

import hashlib
import inspect
import linecache
import re
import sys
import threading
from collections.abc import Collection, Mapping, Sequence
from importlib.abc import InspectLoader
from importlib.util import module_from_spec, spec_from_loader
from types import CodeType, ModuleType

import torch

from thalweg.engines import kernel_cache
from thalweg.rule.equations import Program
from thalweg.rule.words import WORDS
from thalweg.tensors.layout import is_flat
from thalweg.tensors.rounding import HALVES
from thalweg.tensors.subclasses import ordinary

# What kernels are made for: a complex number is two real ones.
FULL = {torch.float32: "float32", torch.float64: "float64", torch.complex64: "float32", torch.complex128: "float64"}
# The arithmetic of every dtype.
DTYPES = FULL | dict.fromkeys(HALVES, "float32")


def refusal(param: torch.Tensor, kernels: str, dtypes: Collection[torch.dtype] = tuple(FULL)) -> str | None:
    """Why no kernel can step a parameter, wherever it is; None where one can."""
    if not ordinary(type(param)):
        return f"its class {type(param).__name__} has operations of its own"
    if param.dtype not in dtypes:
        allowed = ", ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
        return f"its dtype is {param.dtype}; {kernels} are for {allowed}"
    if not is_flat(param):
        return "it has gaps or overlaps in memory"
    return None


_LOADING = threading.RLock()  # else a second thread would be given a module that is half made


def load(name: str, text: str) -> ModuleType:
    """The module of this text, and a file of the same text for people to read."""
    with _LOADING:
        return _load(name, text)


def _load(name: str, text: str) -> ModuleType:
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    module_name = f"thalweg_{re.sub(r'[^0-9A-Za-z_]', '_', name)}_{digest}"
    if module_name in sys.modules:
        return sys.modules[module_name]
    path = _path(f"{module_name}.py", text)
    spec = spec_from_loader(module_name, _Text(text, path), origin=path)
    assert spec is not None
    module = module_from_spec(spec)
    module.__file__ = path
    linecache.cache[path] = (len(text), None, text.splitlines(keepends=True), path)
    sys.modules[module_name] = module
    try:
        module.__loader__.exec_module(module)  # type: ignore[union-attr]
    except BaseException:
        del sys.modules[module_name]
        raise
    return module


def _path(name: str, text: str) -> str:
    """Where the text can be read; a name alone where it cannot be kept."""
    content = text.encode()
    found = kernel_cache.read(name)
    if found is not None and found[1] == content:
        return str(found[0])
    return str(kernel_cache.write(name, content) or f"<{name}>")


class _Text(InspectLoader):
    """Runs the text itself: whatever becomes of the file, it is for people and for debuggers."""

    def __init__(self, text: str, path: str) -> None:
        self.text, self.path = text, path

    def get_source(self, fullname: str) -> str:
        return self.text

    def get_code(self, fullname: str) -> CodeType:
        code: CodeType = compile(self.text, self.path, "exec", dont_inherit=True)
        return code


def words(said: Collection[str], spelling: Mapping[str, str], decorator: str) -> str:
    """A function for each word that is said, in an engine's spelling."""
    parts = []
    for word in sorted(said):
        arguments = ", ".join(inspect.signature(WORDS[word]).parameters)
        parts.append(f"\n{decorator}\ndef {word}({arguments}):\n    {spelling[word]}\n\n")
    return "".join(parts)


def body(lines: Sequence[str], indent: int) -> str:
    """The rule's lines, as they stand in the innermost loop."""
    return "\n".join(" " * indent + line for line in lines)


def numbers(program: Program, read: str, indent: int) -> str:
    """One line for each number of the row, with the formula it was worked out from. `read` has a {} for its place."""
    pad = " " * indent
    return "\n".join(
        f"{pad}__s{index} = {read.format(index)}  # {program.explain(index)}" for index in range(len(program.formulas))
    )
