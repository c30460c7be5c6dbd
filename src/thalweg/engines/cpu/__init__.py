"""The CPU engine: the rule's text inside one loop over memory, compiled by Numba.

One pass: each element of p, g and the states is read once, and written once; nothing the size of a parameter is
allocated. One launch serves all groups: each chunk says which tensor it belongs to and which row of numbers it takes.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from importlib import import_module
from textwrap import indent
from types import ModuleType
from typing import Any

import numba
import numpy as np
import torch
from numba.core.registry import cpu_target

from thalweg.engines import kernel, machine_code
from thalweg.engines.cpu import block_quantized, cautious, half_precision, totals
from thalweg.engines.cpu.over_chunks import Pass
from thalweg.engines.engine import Engine
from thalweg.plan.plan import Plan
from thalweg.tensors.quantization import Form
from thalweg.tensors.rounding import FULL, Rounding
from thalweg.update.update import Update

# Below this many elements a second thread costs more than it saves (Adam, 2 cores: 3 us to start, 0.4 ns an element).
ONE_THREAD = 65536

# Of fastmath, what changes no bit between a loop's vector body and its scalar tail, nor hides a NaN. With "arcp" or
# "afn" some processors (AMD) estimate roots and quotients in vectors only: an element's result would depend on where
# a chunk ends. Neither is faster: Adam, Adadelta and RAdam measured with and without.
FASTMATH = '{"contract", "nsz"}'

WORDS = {
    "sqrt": "return math.sqrt(x)",
    "exp": "return math.exp(x)",
    "log": "return math.log(x)",
    "tanh": "return math.tanh(x)",
    "abs": "return math.fabs(x)",
    "sign": "return x if x != x else number(x > 0) - number(x < 0)",
    "where": "return then if condition else otherwise",
    "maximum": "return a if a > b or a != a else b",
    "minimum": "return a if a < b or a != a else b",
}

TEMPLATE = '''"""{name}, {dtype}, for the CPU. Made by thalweg from the rule's text; safe to delete."""

import math

from numba import carray, njit, prange, types
from numba import {number} as number
from numba.extending import intrinsic
{imports}
OPTIONS = dict(error_model="numpy", fastmath={fastmath}, nogil=True, no_cfunc_wrapper=True)
INSIDE = dict(OPTIONS, no_cpython_wrapper=True)  # called from kernels alone


@intrinsic
def at(typing_context, address):
    """The memory at an address, as a pointer to numbers."""

    def make(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(number)(types.int64), make

{intrinsics}{words}{passes}'''

STEP = "Steps chunks: (tensor, first element, length, row). Table: the addresses of each tensor's {}."

LOOP = """\
{arrays}
        for __i in range(__n):
{loads}
{body}
{stores}"""


def source(update: Update, dtype: torch.dtype, storage: Rounding = FULL, form: Form = (), wide: bool = False) -> str:
    """The kernel of a recipe, as text. `form`: the states that are kept small; `wide`: gradients are float32, beside
    16-bit parameters."""
    program = update.program
    number = kernel.DTYPES[dtype]
    size = {"float32": 4, "float64": 8}[number]
    held = program.tensors
    small = block_quantized.QuantizedLines(dict(form), held) if form else None
    columns = [*held, *(small.columns if small else ())]
    half = (
        half_precision.Form(dtype, storage, held, len(columns), update.rule.directs or wide)
        if storage is not FULL
        else None
    )
    compared = held[:2] if update.cautious else ()
    read = [name for name in held if name in program.used or name in compared]
    memory = {name: f"at(__table[__t, {index}] + __from * {size})" for index, name in enumerate(held)}
    stores = {name: f"_{name}[__i] = {name}" for name in program.written}
    if half:
        memory, stores = half.memory(memory), half.stores(stores)
    if small:
        memory, stores = small.memory(memory), small.stores(stores)

    def loads(names: Sequence[str]) -> str:
        lines = {name: f"{name} = _{name}[__i]" for name in names}
        lines = half.loads(lines) if half else lines
        return indent("\n".join((small.loads(lines) if small else lines).values()), " " * (pad + 4))

    def loop(parts: Mapping[str, str], finish: bool = True) -> str:
        return small.loop(parts, finish) if small else LOOP.format(**parts)

    numbers = kernel.numbers(program, "__rows[__r, {}]", 8)
    stochastic = small is not None or storage.name == "stochastic"
    pad = 12 if small else 8  # inside the loop over a chunk's blocks
    arrays = [" " * pad + f"_{name} = carray({place}, __n)" for name, place in memory.items()]
    keys = ""
    if stochastic:
        key = f"__table[__t, {len(columns) + 1}]"
        keys = f"\n        __low = {key}\n        __high = {key} >> 32"
        numbers += keys
        arrays.append(" " * pad + f"__place = __table[__t, {len(columns) + 2}] + __from")
    parts = {
        "arrays": "\n".join(arrays),
        "loads": loads(read),
        "body": kernel.body(cautious.staged(program) if update.cautious else program.lines, pad + 4),
        "stores": indent("\n".join(stores.values()), " " * (pad + 4)),
    }
    passes: list[str] = []
    if update.cautious:
        counted = {**parts, "stores": " " * (pad + 4) + cautious.COUNT}
        passes.append(
            cautious.COUNTING.text(numbers + "\n" + cautious.NONE_YET, loop(counted, False), cautious.COUNTED)
        )
        numbers += "\n" + cautious.SCALE
        parts["body"] += "\n" + " " * (pad + 4) + cautious.scaled(program)
    words = program.words
    if added := totals.totals_of(update):
        words = words | added.words
        summed = {**parts, "loads": loads(held), "body": kernel.body(added.lines, pad + 4), "stores": ""}
        passes.append(
            totals.SUMMING.text(kernel.body(added.before, 8) + keys, loop(summed, False), kernel.body(added.after, 8))
        )
    tensors = ", ".join([*columns, *((storage.kept or "nothing", "keys", "offset") if half or small else ())])
    step = Pass("span", "run", STEP.format(tensors), ("__rows", *(("__scales",) if update.cautious else ())))
    passes.append(step.text(numbers, loop(parts), setup=small.buffers if small else ""))
    return TEMPLATE.format(
        name=update.name,
        dtype=", ".join([half.name if half else number, *([small.name] if small else ())]),
        number=number,
        imports=half_precision.IMPORTS if half or small else "",
        intrinsics="".join([
            half_precision.SIXTEEN if half or small else "",
            half_precision.RANDOM if storage.name == "stochastic" else "",
            half.words if half else "",
            small.words if small else "",
        ]),
        fastmath=FASTMATH,
        words=kernel.words(words, WORDS, "@njit(**INSIDE)"),
        passes="\n".join(passes),
    )  # fmt: skip


@cache
def build(
    update: Update, dtype: torch.dtype, storage: Rounding = FULL, form: Form = (), wide: bool = False
) -> ModuleType:
    """The compiled kernel's module: `span` for one thread, `run` for several."""
    kind = str(dtype).removeprefix("torch.") if storage is not FULL else kernel.DTYPES[dtype]
    module = kernel.load(f"cpu_{update.rule.name}_{kind}", source(update, dtype, storage, form, wide))
    machine_code.keep(module.span, module.run)
    if update.cautious:
        machine_code.keep(module.agreeing, module.agreeing_in_all)
    if totals.totals_of(update):
        machine_code.keep(module.summed, module.summed_in_all)
    return module


class Threads:
    """How many threads a launch may use: torch's number, and one where OpenMP would not survive."""

    def __init__(self) -> None:
        self.forked = False
        self.most = 0  # 0 until Numba's threads were started
        if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
            os.register_at_fork(after_in_child=self._in_child)

    def _in_child(self) -> None:
        # OpenMP's threads, ours or torch's, do not cross a fork: the next parallel region would end the child, or hang.
        self.forked = True

    def number(self, elements: int) -> int:
        if elements < ONE_THREAD or self.forked:
            return 1
        wanted = torch.get_num_threads()
        if wanted > 1 and self.most == 0:
            self.most = _start_threads()
        return min(wanted, self.most) if wanted > 1 else 1


def _start_threads() -> int:
    """Start Numba's threads; how many there are.

    Numba sets OpenMP's thread count as it starts, which is torch's too: it is put back.
    """
    if not _has_openmp():
        warnings.warn("thalweg: Numba found no OpenMP library (libgomp); steps run on one thread", stacklevel=2)
        return 1
    before = torch.get_num_threads()
    try:
        return int(numba.get_num_threads())
    finally:
        torch.set_num_threads(before)


def _has_openmp() -> bool:
    """Numba's fall-back, 'workqueue', aborts the process when two threads step at once."""
    if getattr(numba.config, "THREADING_LAYER", None) == "workqueue":
        return False
    return any(_imports(f"numba.np.ufunc.{pool}") for pool in ("omppool", "tbbpool"))


def _imports(name: str) -> bool:
    try:
        import_module(name)
    except ImportError:  # the pool is there, the library that it needs is not
        return False
    return True


class Cpu(Engine):
    """Numba kernels over the plan's table."""

    name = "cpu"

    def __init__(self) -> None:
        self.threads = Threads()
        self._compiled: set[Any] = set()
        # Numba would do this when the first kernel is loaded, inside the first step: 0.4 s.
        cpu_target.target_context.refresh()

    def refusal(self, param: torch.Tensor) -> str | None:
        if param.device.type != "cpu":
            return f"it is on {param.device}, not on the CPU"
        lacking = self.lacks(param.device)
        if lacking:
            return lacking
        if param.dtype == torch.float16 and not half_precision.float16_in_hardware():
            return "this processor has no float16 conversions"
        return kernel.refusal(param, "the CPU kernels", tuple(kernel.DTYPES))

    def lacks(self, device: torch.device) -> str | None:
        if getattr(numba.config, "DISABLE_JIT", 0):
            return "NUMBA_DISABLE_JIT is set, and kernels are nothing until Numba has compiled them"
        return None

    def prepare(self, plan: Plan) -> None:
        plan.kernel = build(plan.update, plan.dtype, plan.storage, plan.form, plan.wide)

    def measure(self, plan: Plan) -> None:
        added = totals.totals_of(plan.update)
        if added is None or plan.differentiable or plan.sharded:
            return plan.measure()
        module: Any = plan.kernel
        chunks, bounds = totals.shares(plan, self.threads.number(plan.total))
        sums = np.zeros((len(chunks), len(added.kinds)))
        self._over(bounds, module.summed, module.summed_in_all, chunks, plan.table, added.wanted(plan), sums)()
        measured = added.numbers(plan, chunks, sums)
        if measured is None:
            return plan.measure()
        plan.measured = measured

    def launch(self, plan: Plan) -> Callable[[], object]:
        module: Any = plan.kernel
        rows = plan.kernel_rows(kernel.DTYPES[plan.dtype])
        chunks, bounds = plan.chunks(self.threads.number(plan.total), plan.total)
        given: tuple[Any, ...] = (chunks, plan.table, rows)
        if plan.update.cautious:
            counts = np.zeros(len(chunks), dtype=np.int64)
            self._over(bounds, module.agreeing, module.agreeing_in_all, *given, counts)()
            given = (*given, cautious.scales(chunks, counts, plan.numels, rows.dtype))
        return self._over(bounds, module.span, module.run, *given)

    def _over(self, bounds: Any, one_thread: Any, threads: Any, *given: Any) -> Callable[[], object]:
        """A kernel over all chunks, compiled."""
        if len(bounds) > 2:
            self._compile(threads, bounds[:1], *given)
            return partial(threads, bounds, *given)
        self._compile(one_thread, 0, 0, *given)
        return partial(one_thread, 0, len(given[0]), *given)

    def _compile(self, function: Any, *nothing: Any) -> None:
        """Numba compiles in the first call: that is one of no chunks, as it may fail, or be interrupted."""
        if function not in self._compiled:
            function(*nothing)
            self._compiled.add(function)


ENGINE = Cpu()
