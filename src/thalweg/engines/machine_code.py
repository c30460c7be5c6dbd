"""Numba's machine code in the kernel cache, so that the next process compiles nothing.

Numba's own cache raises where a file is damaged or a folder cannot be written, and runs what a flipped bit has made of
the code. Here a file begins with the digest of the rest and of what it was made for; one that disagrees is not a file.
"""

from __future__ import annotations

import hashlib
import logging
import pickle
import sys
from typing import Any

import llvmlite
import numba
from numba.core import compiler, serialize
from numba.core.caching import NullCache

from thalweg.engines import kernel_cache

DIGEST = 32  # bytes of SHA-256
rebuild: Any = compiler.CompileResult._rebuild
dumps: Any = serialize.dumps
VERSIONS = (sys.implementation.cache_tag, numba.__version__, llvmlite.__version__)


def keep(*functions: Any) -> None:
    """Let compiled functions, which may call each other and nothing else of ours, come from the cache and go there."""
    made = [function for function in functions if hasattr(function, "py_func")]  # not with NUMBA_DISABLE_JIT
    codes = [function.py_func.__code__ for function in made]
    text = repr([(code.co_code, code.co_consts, code.co_names) for code in codes])
    for function in made:
        function._cache = MachineCode(function.py_func, text)


class MachineCode(NullCache):
    """A function's compiled overloads, a file each."""

    def __init__(self, function: Any, text: str) -> None:
        self._name = f"{function.__module__}.{function.__qualname__}"
        self._text = text

    def _key(self, signature: Any, codegen: Any) -> bytes:
        return repr((self._name, self._text, signature, codegen.magic_tuple(), VERSIONS)).encode()

    def _file(self, key: bytes) -> str:
        return f"{self._name}.{hashlib.sha256(key).hexdigest()[:16]}.nbc"

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """The compile result, or None: then Numba compiles."""
        target_context.refresh()
        key = self._key(signature, target_context.codegen())
        found = kernel_cache.read(self._file(key))
        if found is None or found[1][:DIGEST] != _digest(key, found[1][DIGEST:]):
            return None
        try:
            return rebuild(target_context, *pickle.loads(found[1][DIGEST:]))
        except Exception as error:  # whatever it is, compiling it again is right
            logging.getLogger("thalweg").debug("%s is compiled again: %r", found[0], error)
            return None

    def save_overload(self, signature: Any, result: Any) -> None:
        """Keep a compile result, where it can be kept."""
        if result.library.has_dynamic_globals or any(not part.can_cache for part in result.lifted):
            return
        key = self._key(signature, result.codegen)
        payload = dumps(result._reduce())
        kernel_cache.write(self._file(key), _digest(key, payload) + payload)


def _digest(key: bytes, payload: bytes) -> bytes:
    return hashlib.sha256(len(key).to_bytes(8, "little") + key + payload).digest()
