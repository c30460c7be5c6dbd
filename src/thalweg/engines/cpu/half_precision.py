"""float16 and bfloat16 in CPU kernels: the numbers of `thalweg.tensors.rounding`, to the same bits.

Numba has no 16-bit numbers and makes every integer 64 bits wide, which would halve the vectors: so the conversions
are a few LLVM instructions each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import torch
from llvmlite import binding

from thalweg.tensors.rounding import Rounding

IMPORTS = "from llvmlite import ir\n\n"

SIXTEEN = '''
WORD, BITS = ir.IntType(32), types.uint32


@intrinsic
def at_bits(typing_context, address):
    """The memory at an address, as a pointer to 16-bit patterns."""

    def make(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.uint16)(types.int64), make

'''

WORDS = '''
@intrinsic
def widen(typing_context, bits):
    """A 16-bit pattern as a float32."""

    def make(context, builder, signature, arguments):
        [bits] = arguments
{widen}

    return types.float32(types.uint16), make


@intrinsic
def nearest(typing_context, x):
    """The nearest 16-bit pattern, ties to even."""

    def make(context, builder, signature, arguments):
        [x] = arguments
{nearest}

    return types.uint16(types.float32), make

'''

BFLOAT16 = {
    "widen": """\
        wide = builder.shl(builder.zext(bits, WORD), WORD(16))
        return builder.bitcast(wide, ir.FloatType())""",
    "nearest": """\
        pattern = builder.bitcast(x, WORD)
        even = builder.and_(builder.lshr(pattern, WORD(16)), WORD(1))
        up = builder.add(pattern, builder.add(even, WORD(0x7FFF)))
        kept = builder.select(builder.fcmp_unordered("uno", x, x), WORD(0x7FC00000), up)
        return builder.trunc(builder.lshr(kept, WORD(16)), ir.IntType(16))""",
    "stochastic": """\
        pattern = builder.add(builder.bitcast(x, WORD), builder.and_(noise, WORD(0xFFFF)))
        kept = builder.select(builder.fcmp_unordered("uno", x, x), WORD(0x7FC00000), pattern)
        return builder.trunc(builder.lshr(kept, WORD(16)), ir.IntType(16))""",
}
FLOAT16 = {
    "widen": """\
        return builder.fpext(builder.bitcast(bits, ir.HalfType()), ir.FloatType())""",
    "nearest": """\
        return builder.bitcast(builder.fptrunc(x, ir.HalfType()), ir.IntType(16))""",
    "stochastic": """\
        number = ir.FloatType()
        pattern = builder.add(builder.bitcast(x, WORD), builder.and_(noise, WORD(0x1FFF)))
        coarse = builder.bitcast(builder.and_(pattern, WORD(0xFFFFE000)), number)
        # Below 2^-14 the float16 are 2^-24 apart, whatever the exponent.
        part = builder.fmul(builder.sitofp(builder.and_(noise, WORD(0xFFFF)), number), number(2.0**-16))
        moved = builder.fadd(builder.fmul(x, number(2.0**24)), part)
        floor = builder.module.declare_intrinsic("llvm.floor", [number])
        fine = builder.fmul(builder.call(floor, [moved]), number(2.0**-24))
        fabs = builder.module.declare_intrinsic("llvm.fabs", [number])
        size = builder.call(fabs, [x])
        rounded = builder.select(builder.fcmp_ordered("<", size, number(2.0**-14)), fine, coarse)
        finite = builder.fcmp_ordered("<", size, number(float("inf")))
        kept = builder.select(finite, rounded, x)
        return builder.bitcast(builder.fptrunc(kept, ir.HalfType()), ir.IntType(16))""",
}

RANDOM = '''
@intrinsic
def random_bits(typing_context, place, before, low, high):
    """32 random bits for the element at a place with a value: murmur3's mixer, keyed twice."""

    def make(context, builder, signature, arguments):
        place, before, low, high = arguments
        place, low, high = (builder.trunc(argument, WORD) for argument in (place, low, high))
        x = builder.add(builder.mul(place, WORD(0x9E3779B1)), low)
        x = builder.add(x, builder.mul(builder.zext(before, WORD), WORD(0x85EBCA77)))
        x = builder.mul(builder.xor(x, builder.lshr(x, WORD(16))), WORD(0x85EBCA6B))
        x = builder.mul(builder.xor(builder.xor(x, builder.lshr(x, WORD(13))), high), WORD(0xC2B2AE35))
        return builder.xor(x, builder.lshr(x, WORD(16)))

    return BITS(types.int64, types.uint16, types.int64, types.int64), make

'''

STOCHASTIC = '''
@intrinsic
def stochastic(typing_context, x, noise):
    """One of the two 16-bit neighbors, so that the mean is right."""

    def make(context, builder, signature, arguments):
        x, noise = arguments
{stochastic}

    return types.uint16(types.float32, BITS), make

'''


class Form:
    """The lines that differ from a kernel of whole numbers, for one dtype and one storage."""

    def __init__(
        self, dtype: torch.dtype, storage: Rounding, tensors: Sequence[str], column: int, wide: bool = False
    ) -> None:
        self.storage, (self.p, self.g) = storage, tensors[:2]
        self.halved = tensors[: 1 if wide else 2]  # a wide gradient, and a direction made of one, is a float32
        self.name = f"{str(dtype).removeprefix('torch.')} ({storage.name})"
        texts = BFLOAT16 if dtype == torch.bfloat16 else FLOAT16
        self.words = (WORDS + (STOCHASTIC if storage.name == "stochastic" else "")).format(**texts)
        self.column = column  # of what is kept

    def memory(self, memory: Mapping[str, str]) -> dict[str, str]:
        """Where the arrays begin."""
        own = {name: f"at_bits(__table[__t, {index}] + __from * 2)" for index, name in enumerate(self.halved)}
        if self.storage.name == "kahan":
            own["_kept"] = f"at_bits(__table[__t, {self.column}] + __from * 2)"
        if self.storage.name == "master":
            own["_kept"] = f"at(__table[__t, {self.column}] + __from * 4)"
        return {**memory, **own}

    def loads(self, loads: Mapping[str, str]) -> dict[str, str]:
        """Read an element; what is kept beside it counts only as long as it rounds to the parameter."""
        own = {name: f"{name} = widen(_{name}[__i])" for name in self.halved if name in loads}
        if self.p in own and self.storage.kept:
            full = f"{own[self.p][len(self.p) + 3 :]} + widen(__kept[__i])" if self._kahan else "__kept[__i]"
            own[self.p] += f"\n__full = {full}"
            own[self.p] += f"\n{self.p} = __full if nearest(__full) == _{self.p}[__i] else {self.p}"
        return {**loads, **own}

    @property
    def _kahan(self) -> bool:
        return self.storage.name == "kahan"

    def stores(self, stores: Mapping[str, str]) -> dict[str, str]:
        """Write an element."""
        p = self.p
        if self.storage.name == "stochastic":
            line = f"_{p}[__i] = stochastic({p}, random_bits(__place + __i, _{p}[__i], __low, __high))"
        else:
            line = f"_{p}[__i] = nearest({p})"
        if self._kahan:
            line = f"__bits = nearest({p})\n_{p}[__i] = __bits\n__cut = {p} - widen(__bits)"
            line += "\n__kept[__i] = nearest(__cut if __cut - __cut == 0 else number(0.0))"
        if self.storage.name == "master":
            line += f"\n__kept[__i] = {p}"
        return {**stores, p: line}


@cache
def float16_in_hardware() -> bool:
    """Without these conversions LLVM would call a library that is not there."""
    features = binding.get_host_cpu_features()
    arm = binding.get_process_triple().startswith(("aarch64", "arm64"))
    return bool(arm or features.get("f16c", False))
