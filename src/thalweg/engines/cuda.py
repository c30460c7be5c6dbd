"""The CUDA engine: the same plan and the same rule text, as one Triton kernel and one launch.

Each program steps one chunk of one tensor. Where the chunk is full and its memory aligned it moves 16 bytes an access;
the odd tail of a tensor goes through masks.

State of this engine: its kernels are checked in Triton's interpreter and by compiling them for sm_90, not yet on a GPU.
So `engine="auto"` leaves CUDA parameters to `reference`; `engine="cuda"` asks for it by name.
"""

from __future__ import annotations

import os
from functools import cache
from types import ModuleType
from typing import Any

import torch

from thalweg.engines import kernel
from thalweg.engines.engine import Engine
from thalweg.plan import Plan
from thalweg.recipe import Recipe

try:
    import triton  # noqa: F401
except ImportError:
    raise ImportError("engine='cuda' needs Triton: pip install 'thalweg[cuda]'") from None

BLOCK = 1024  # elements a program: with 4 warps two 16-byte accesses a thread and array
WARPS = 4

WORDS = {
    "exp": "return tl.exp(x)",
    "log": "return tl.log(x)",
    "tanh": "return 1.0 - 2.0 / (tl.exp(2.0 * x) + 1.0)",
    "abs": "return tl.abs(x)",
    "sign": "return tl.where(x != x, x, tl.where(x > 0.0, 1.0, tl.where(x < 0.0, -1.0, 0.0)).to(x.dtype))",
    "where": "return tl.where(condition, then, otherwise)",
    "maximum": "return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)",
    "minimum": "return tl.minimum(a, b, propagate_nan=tl.PropagateNan.ALL)",
}

SQRT = {"float32": "return tl.sqrt_rn(x)", "float64": "return tl.sqrt(x)"}  # tl.sqrt of a float32 is approximate

TEMPLATE = '''"""{name}, {dtype}, for CUDA. Made by thalweg from the rule's text; safe to delete."""

import triton
import triton.language as tl

{words}
@triton.jit
def update({arguments}):
    """The equations, on one block of elements."""
{body}
    return {results}


@triton.jit
def chunk(__table, __chunks, __rows, BLOCK: tl.constexpr):
    """One chunk: (tensor, first element, length, row). Table: the addresses of each tensor's {tensors}."""
    __c = tl.program_id(0)
    __t = tl.load(__chunks + __c * 4)
    __skip = tl.load(__chunks + __c * 4 + 1)
    __n = tl.load(__chunks + __c * 4 + 2)
    __r = tl.load(__chunks + __c * 4 + 3)
    __i = tl.arange(0, BLOCK)
{numbers}
{addresses}
    if (__n == BLOCK) & ((({either}) & 15) == 0):
{full_pointers}
{full_loads}
        {assign} = update({arguments})
{full_stores}
    else:
        __mask = __i < __n
{pointers}
{loads}
        {assign} = update({arguments})
{stores}
'''


def source(recipe: Recipe, dtype: str) -> str:
    """The kernel of a recipe, as text."""
    program = recipe.program
    tensors, written = program.tensors, program.written
    size = {"float32": 4, "float64": 8}[dtype]
    columns, count = len(tensors), len(program.formulas)
    pointer = f"tl.pointer_type(tl.{dtype})"

    def lines(indent: int, names: tuple[str, ...], form: str) -> str:
        return "\n".join(" " * indent + form.format(name=name, index=tensors.index(name)) for name in names)

    return TEMPLATE.format(
        name=recipe.name,
        dtype=dtype,
        tensors=", ".join(tensors),
        words=kernel.words(program, WORDS | {"sqrt": SQRT[dtype]}, "@triton.jit"),
        arguments=", ".join([*tensors, *(f"__s{index}" for index in range(count))]),
        body=kernel.body(program, 4),
        results=", ".join(written),
        assign=", ".join(written),
        numbers=kernel.numbers(program, f"tl.load(__rows + __r * {count} + {{}})", 4),
        addresses=lines(4, tensors, f"_{{name}} = tl.load(__table + __t * {columns} + {{index}}) + __skip * {size}"),
        either=" | ".join(f"_{name}" for name in tensors),
        # The hint stands on the pointer after the cast: put before it, it is lost and each access moves 4 bytes.
        full_pointers=lines(8, tensors, f"__at_{{name}} = tl.multiple_of(_{{name}}.to({pointer}), 16)"),
        full_loads=lines(8, tensors, "{name} = tl.load(__at_{name} + __i)"),
        full_stores=lines(8, written, "tl.store(__at_{name} + __i, {name})"),
        pointers=lines(8, tensors, f"__at_{{name}} = _{{name}}.to({pointer})"),
        loads=lines(8, tensors, "{name} = tl.load(__at_{name} + __i, mask=__mask, other=0.0)"),
        stores=lines(8, written, "tl.store(__at_{name} + __i, {name}, mask=__mask)"),
    )


def interpreted() -> bool:
    """True where Triton's interpreter runs kernels on the CPU."""
    return os.environ.get("TRITON_INTERPRET", "0") == "1"


@cache
def build(recipe: Recipe, dtype: torch.dtype, interpret: bool) -> ModuleType:
    """The kernel's module, compiled when it is first launched."""
    kind = "interpreted" if interpret else "cuda"
    return kernel.load(f"{kind}_{recipe.rule.name}_{kernel.DTYPES[dtype]}", source(recipe, kernel.DTYPES[dtype]))


def compile_for(recipe: Recipe, dtype: torch.dtype, capability: int = 90) -> Any:
    """Compile a kernel for a GPU that need not be there; its text is in `.asm["ptx"]`."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    number = {"float32": "fp32", "float64": "fp64"}[kernel.DTYPES[dtype]]
    signature = {"__table": "*i64", "__chunks": "*i64", "__rows": f"*{number}", "BLOCK": "constexpr"}
    function = build(recipe, dtype, interpret=False).chunk
    text = ASTSource(function, signature, {"BLOCK": BLOCK})
    options = {"num_warps": WARPS, "enable_fp_fusion": True}
    return compile(text, target=GPUTarget("cuda", capability, 32), options=options)


class Cuda(Engine):
    """Triton kernels over the plan's table."""

    name = "cuda"

    def refusal(self, param: torch.Tensor) -> str | None:
        if param.device.type != "cuda" and not (interpreted() and param.device.type == "cpu"):
            return f"it is on {param.device}, not on a CUDA device"
        return kernel.refusal(param, "the CUDA kernels")

    def step(self, plan: Plan) -> None:
        module = build(plan.recipe, plan.dtype, interpreted())
        device = plan.params[0].device
        rows = plan.kernel_rows(kernel.DTYPES[plan.dtype])
        chunks, _ = plan.chunks(1, BLOCK)
        if len(chunks) == 0:
            return
        tables = [torch.from_numpy(array).to(device) for array in (plan.table, chunks, rows)]
        module.chunk[(len(chunks),)](*tables, BLOCK=BLOCK, num_warps=WARPS, enable_fp_fusion=True)


ENGINE = Cuda()
