"""The kernel's text: the rule's lines around one chunk of one tensor.

Everything here is written so that the interpreter, which has no fused multiply-add and divides as IEEE says, computes
what the GPU computes: `FP_FUSION` is off, division and root are the correctly rounded ones. Only exp, log and tanh are
the machine's own. A step waits for memory, so the slower division costs nothing that counts.
"""

from __future__ import annotations

import ast

import torch

from thalweg.engines import kernel
from thalweg.engines.cuda import block_quantized, half_precision
from thalweg.tensors import quantization
from thalweg.tensors.quantization import Form
from thalweg.tensors.rounding import FULL, Rounding
from thalweg.update.update import Update

BLOCK = 1024  # elements a program: with 4 warps two 16-byte accesses a thread and float32 array
WARPS = 4
# Elements at a time of a tail. As many as of a full chunk took more registers than all else (Adam, sm_90: 111 in place
# of 60), which halved the warps of every launch. Of 8-bit codes it is a block, which has one scale.
PIECE = quantization.BLOCK
# Triton's default lets both LLVM and ptxas contract a product and a sum. A full chunk and a tail are two pieces of code
# that need not be contracted alike, so an element's bits would depend on where it lies in its tensor.
FP_FUSION = False

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

{words}{halves}{small}
@triton.jit
def update({arguments}):
    """The equations, on one block of elements."""
{body}
    return {results}


@triton.jit
def chunk(__chunks, __table, __gradients, __row_of, __rows, __keys, __scales, BLOCK: tl.constexpr):
    """One chunk: (tensor, which block of it). Table: the addresses of each tensor's {columns}."""
{place}
{numbers}
{addresses}
{keys}
    if (__n == BLOCK) & ((({either}) & 15) == 0):
{full}
    else:
        for __k in range(0, __n, {piece}):
            __j = __k + tl.arange(0, {piece})
            __mask = __j < __n
{part}
{counting}'''

PLACE = """\
    __c = tl.program_id(0).to(tl.int64)
    __t = tl.load(__chunks + __c * 2).to(tl.int64)
    __first = tl.load(__chunks + __c * 2 + 1).to(tl.int64) * BLOCK
    __r = tl.load(__row_of + __t)
    __n = tl.minimum(tl.load({numel}) - __first, BLOCK)
    __n = tl.where(__r < 0, 0, __n)  # no row: the step is left out
    __r = tl.maximum(__r, 0)
    __i = tl.arange(0, BLOCK)"""

# tl.sum is a kernel of Triton's own: where Triton was imported to compile, its interpreter cannot run it.
COUNTING = '''

@triton.jit
def __both(a, b):
    return a + b


@triton.jit
def agreeing(__chunks, __table, __gradients, __row_of, __rows, __counts, BLOCK: tl.constexpr):
    """How many elements of a chunk would go along with their gradient."""
{place}
{numbers}
{addresses}
    __count = 0
    for __k in range(0, __n, {piece}):
        __j = __k + tl.arange(0, {piece})
        __mask = __j < __n
{loads}
        __before, {results} = update({arguments})
        __count += tl.reduce(((__agreement > 0.0) & __mask).to(tl.int32), 0, __both)
    tl.store(__counts + __c, __count)
'''

# Of signs: the product of the two itself may be too small for its dtype.
AGREEMENT = "__agreement = __sign(__before - {p}) * __sign(__g)"
SIGN = f"\n@triton.jit\ndef __sign(x):\n    {WORDS['sign']}\n\n"


class Text:
    """One kernel's text, put together line by line."""

    def __init__(self, update: Update, dtype: torch.dtype, storage: Rounding, form: Form, wide: bool) -> None:
        self.update, self.program, self.number = update, update.program, kernel.DTYPES[dtype]
        self.p, self.g = self.program.tensors[:2]
        self.form = half_precision.Form(dtype, storage, self.p) if storage is not FULL else None
        self.small = block_quantized.QuantizedLines(form) if form else None
        short = str(dtype).removeprefix("torch.")
        held = {name: self.number for name in self.program.tensors}
        if self.form:
            held[self.p] = short
            if not (update.rule.directs or wide):  # else the gradient, or the direction made of it, is a float32
                held[self.g] = short
        if self.small:
            held |= self.small.held
        self.read = {name: kind for name, kind in held.items() if name in self.program.used or name == self.p}
        self.held = held | (self.form.kept if self.form else {})
        self.name = ", ".join(
            [self.form.name if self.form else self.number, *([self.small.name] if self.small else [])]
        )
        self.stochastic = bool(self.small or (self.form and self.form.stochastic))

    @property
    def columns(self) -> list[str]:
        """What the table holds of each tensor: `thalweg.engines.cuda` lays it out in this order."""
        tensors = [name for name in self.program.tensors if name != self.g]
        scales = self.small.columns if self.small else []
        kept = self.form.kept if self.form else ()
        return [*tensors, *scales, *kept, *(["offset"] if self.stochastic else []), "numel"]

    def column(self, name: str) -> str:
        """Where the table holds it."""
        return f"__table + __t * {len(self.columns)} + {self.columns.index(name)}"

    def offsets(self) -> str:
        return PLACE.format(numel=self.column("numel"))

    def addresses(self) -> str:
        size = {"float32": 4, "float64": 8, "float16": 2, "bfloat16": 2, "uint8": 1}
        lines = []
        for name, kind in self.held.items():
            at = self.column(name) if name != self.g else "__gradients + __t"
            lines.append(f"_{name} = tl.load({at}) + __first * {size[kind]}")
        if self.small:
            lines += self.small.addresses({name: self.column(name) for name in self.small.columns})
        return "\n".join(" " * 4 + line for line in lines)

    def keys(self) -> str:
        """What random bits are made of."""
        if not self.stochastic:
            return ""
        lines = [
            "__key = tl.load(__keys + __t)",
            "__low, __high = __key.to(tl.uint32), (__key >> 32).to(tl.uint32)",
            f"__place = (tl.load({self.column('offset')}) + __first).to(tl.uint32)",
        ]
        return "\n".join(" " * 4 + line for line in lines)

    def numbers(self) -> str:
        return kernel.numbers(self.program, f"tl.load(__rows + __r * {len(self.program.formulas)} + {{}})", 4)

    def arguments(self) -> str:
        return ", ".join([*self.read, *(f"__s{index}" for index in range(len(self.program.formulas)))])

    def results(self) -> str:
        return ", ".join([*self.program.written, *(["__agreement"] if self.update.cautious else [])])

    def body(self) -> str:
        lines = [_exact(line) if self.number == "float32" else line for line in self.program.lines]
        if self.update.cautious:
            lines.insert(self.program.staged, f"__before, __g = {self.p}, {self.g}")
            lines.append(AGREEMENT.format(p=self.p))
        return "\n".join(" " * 4 + line for line in lines)

    def branch(self, full: bool) -> str:
        """Load, update and store one block; a full one in 16-byte accesses."""
        before = "__before, " if self.update.cautious else ""
        lines = [*self.pointers(full), *self.loads(full), f"{before}{self.results()} = update({self.arguments()})"]
        if self.update.cautious:
            scaled = f"__before + tl.load(__scales + __t) * ({self.p} - __before)"
            lines.append(f"{self.p} = tl.where(__agreement <= 0.0, __before, {scaled})")
        lines += self.stores(full)
        return "\n".join(" " * (8 if full else 12) + line for line in lines)

    def stores(self, full: bool) -> list[str]:
        """What is written. The parameter comes last: written first, Adam with int8 state took 124 registers, not 80."""
        at, masked = ("__i", "") if full else ("__j", ", mask=__mask")
        store = f"tl.store(__at_{{}} + {at}, {{}}{masked})"
        lines: list[str] = []
        pairs = [(name, name) for name in self.program.written]
        if self.small:
            lines += self.small.random(at)
            for letter in self.small.form:
                lines += [*self.small.rounding_lines(letter, full), store.format(letter, "__new")]
            pairs = [pair for pair in pairs if pair[0] not in self.small.form]
        if self.form:
            rounded, made = self.form.rounding_lines(at)
            lines += rounded
            pairs = [*made, *(pair for pair in pairs if pair[0] != self.p)]
        return lines + [store.format(*pair) for pair in pairs]

    def pointers(self, full: bool) -> list[str]:
        # The hint stands on the pointer after the cast: put before it, it is lost and each access moves 4 bytes.
        aligned = "tl.multiple_of({}, 16)" if full else "{}"
        casts = {
            name: f"_{name}.to(tl.pointer_type(tl.{half_precision.POINTER[kind]}))" for name, kind in self.held.items()
        }
        return [f"__at_{name} = {aligned.format(cast)}" for name, cast in casts.items()]

    def loads(self, full: bool) -> list[str]:
        at, masked = ("__i", "") if full else ("__j", ", mask=__mask, other=0")
        small = self.small.held if self.small else {}
        halved = [name for name, kind in self.read.items() if kind != self.number and name not in small]
        read = [*self.read, *(self.form.kept if self.form else ())]
        lines = [f"{name} = tl.load(__at_{name} + {at}{masked})" for name in read]
        if self.form:
            lines += self.form.widened(halved)
        if self.small:
            lines += [*self.small.blocks(full), *self.small.widened(self.read)]
        return lines

    def counting(self) -> str:
        if not self.update.cautious:
            return ""
        return COUNTING.format(
            place=self.offsets(),
            numbers=self.numbers(),
            addresses=self.addresses(),
            loads="\n".join(" " * 8 + line for line in [*self.pointers(full=False), *self.loads(full=False)]),
            piece=PIECE,
            results=self.results(),
            arguments=self.arguments(),
        )

    def __str__(self) -> str:
        before = "__before, " if self.update.cautious else ""
        return TEMPLATE.format(
            name=self.update.name,
            dtype=self.name,
            columns=", ".join(self.columns),
            words=kernel.words(self.program.words, WORDS | {"sqrt": SQRT[self.number]}, "@triton.jit")
            + (SIGN if self.update.cautious else ""),
            halves=self.form.words if self.form else "",
            small=self.small.words if self.small else "",
            arguments=self.arguments(),
            body=self.body(),
            results=before + self.results(),
            place=self.offsets(),
            numbers=self.numbers(),
            addresses=self.addresses(),
            keys=self.keys(),
            either=" | ".join(f"_{name}" for name in self.held),
            full=self.branch(full=True),
            part=self.branch(full=False),
            piece=PIECE,
            counting=self.counting(),
        )


def source(update: Update, dtype: torch.dtype, storage: Rounding = FULL, form: Form = (), wide: bool = False) -> str:
    """The kernel of a recipe, as text. `form`: the states that are kept small; `wide`: gradients are float32 beside
    16-bit parameters."""
    return str(Text(update, dtype, storage, form, wide))


class _Exact(ast.NodeTransformer):
    """Division as IEEE has it: Triton's own, of float32, may be two units off in the last place."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        left, right = self.visit(node.left), self.visit(node.right)
        if isinstance(node.op, ast.Div):
            return ast.Call(ast.Attribute(ast.Name("tl", ast.Load()), "div_rn", ast.Load()), [left, right], [])
        return ast.BinOp(left, node.op, right)


def _exact(line: str) -> str:
    return ast.unparse(ast.fix_missing_locations(_Exact().visit(ast.parse(line))))
