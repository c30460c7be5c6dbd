"""From text to kernels: launched, or compiled for a GPU that need not be there."""

from __future__ import annotations

import os
from functools import cache
from types import ModuleType
from typing import Any

import torch

from thalweg.engines import kernel
from thalweg.engines.cuda import scalars, source
from thalweg.tensors.quantization import Form
from thalweg.tensors.rounding import FULL, Rounding
from thalweg.update.update import Update

POINTERS = {"float16": "fp16", "bfloat16": "bf16", "float32": "fp32", "float64": "fp64", "int64": "i64"}
Size = tuple[int, int]  # of a program: elements, warps
# What programs of float32 and 16-bit state take: `benchmarks/gpu.py` measures others on the card at hand, and may set
# it. Small state has a size of its own, a block of codes a warp.
SIZE: Size = (source.BLOCK, source.WARPS)
NUMBERS = {"num_warps": 1, "enable_fp_fusion": source.FP_FUSION}


def size_of(form: Form) -> Size:
    """How many elements a program takes of a plan, and how many warps it has."""
    return (source.BLOCK, source.WARPS) if form else SIZE


def update_options(size: Size) -> dict[str, Any]:
    """How the kernel of a rule is launched, or compiled."""
    return {"num_warps": size[1], "enable_fp_fusion": source.FP_FUSION}


def interpreted() -> bool:
    """True where Triton's interpreter runs kernels on the CPU."""
    return os.environ.get("TRITON_INTERPRET", "0") == "1"


def _load(kind: str, update: Update, dtype: torch.dtype, interpret: bool, text: str) -> ModuleType:
    # Triton reads TRITON_INTERPRET when a kernel is defined: one module for each.
    where = "interpreted" if interpret else "cuda"
    name = str(dtype).removeprefix("torch.")
    return kernel.load(f"{where}{kind}_{update.rule.name}_{name}", text)


@cache
def step_kernel(
    update: Update, dtype: torch.dtype, storage: Rounding, interpret: bool, form: Form = (), wide: bool = False
) -> ModuleType:
    """The module of a recipe's kernels, compiled when they are first launched."""
    return _load("", update, dtype, interpret, source.source(update, dtype, storage, form, wide))


@cache
def per_step(
    update: Update, dtype: torch.dtype, names: tuple[str, ...], leaves: scalars.Leaves, interpret: bool
) -> ModuleType:
    """The module of the kernel that works a recipe's numbers out; `names` are the rows of the ages."""
    return _load("_numbers", update, dtype, interpret, scalars.source(update, names, leaves))


def compile_for(
    update: Update,
    dtype: torch.dtype,
    capability: int = 90,
    storage: Rounding = FULL,
    entry: str = "chunk",
    form: Form = (),
    wide: bool = False,
    size: Size | None = None,
) -> Any:
    """Compile a kernel for a GPU that need not be there; its text is in `.asm["ptx"]`."""
    number = POINTERS[kernel.DTYPES[dtype]]
    kinds = {"__rows": number, "__chunks": "i32", "__scales": number, "__counts": "i32"}
    function = getattr(step_kernel(update, dtype, storage, False, form, wide), entry)
    signature = {name: "constexpr" if name == "BLOCK" else "*" + kinds.get(name, "i64") for name in function.arg_names}
    size = size or size_of(form)
    return _compile(function, signature, {"BLOCK": size[0]}, capability, update_options(size))


def compile_numbers_for(
    update: Update, dtype: torch.dtype, names: tuple[str, ...], leaves: scalars.Leaves, capability: int = 90
) -> Any:
    """The same for the kernel of the numbers."""
    kinds = {"__ages": "fp64", "__settings": "fp64", "__verdict": "fp64", "__rows": POINTERS[kernel.DTYPES[dtype]]}
    function = per_step(update, dtype, names, leaves, False).numbers
    signature = {name: "*" + kinds.get(name, "i64") for name in function.arg_names}
    return _compile(function, signature, {}, capability, NUMBERS)


def _compile(function: Any, signature: Any, constants: Any, capability: int, options: Any) -> Any:
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    text = ASTSource(function, signature, constants)
    return compile(text, target=GPUTarget("cuda", capability, 32), options=options)
