"""Small state in CPU kernels: the codes of `thalweg.codes`, bit for bit the same.

Moments in 8 bits take three loops over each block of 256 elements, which stays in the first cache: unpack and step,
leaving the new moments in a buffer on the stack; find the block's maxima; pack. Memory is passed over once. The codes
are floating-point numbers cut short, so that unpacking and packing are shifts and sums of 32-bit integers: Numba would
make these 64 bits wide, hence the LLVM instructions. Maxima are of floats' bits, whose order as integers is theirs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import indent

from thalweg.codes import BLOCK, CUT, INFINITE, ROLL, Code

WORDS = f'''
@intrinsic
def __at_bytes(typing_context, address):
    """The memory at an address, as a pointer to bytes."""

    def make(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.uint8)(types.int64), make


@intrinsic
def __buffer(typing_context):
    """A block of float32 on the stack."""

    def make(context, builder, signature, arguments):
        with builder.goto_entry_block():
            block = builder.alloca(ir.FloatType(), WORD({BLOCK}))
        block.align = 64
        return block

    return types.CPointer(types.float32)(), make


@intrinsic
def __size(typing_context, x):
    """A number's bits without its sign; 0 unless it is finite."""

    def make(context, builder, signature, arguments):
        size = builder.and_(builder.bitcast(arguments[0], WORD), WORD(0x7FFFFFFF))
        return builder.select(builder.icmp_signed("<", size, WORD({INFINITE})), size, WORD(0))

    return types.int32(types.float32), make


@intrinsic
def __larger(typing_context, a, b):
    """The larger of two."""

    def make(context, builder, signature, arguments):
        a, b = arguments
        return builder.select(builder.icmp_signed(">", a, b), a, b)

    return types.int32(types.int32, types.int32), make


@intrinsic
def __part(typing_context, bits, place):
    """The low 16 bits, or those at another place."""

    def make(context, builder, signature, arguments):
        bits, place = arguments
        return builder.and_(builder.lshr(bits, builder.trunc(place, WORD)), WORD(0xFFFF))

    return BITS(BITS, types.int64), make


@intrinsic
def __again(typing_context, bits):
    """32 more random bits."""

    def make(context, builder, signature, arguments):
        bits = builder.mul(arguments[0], WORD(0x9E3779B1))
        return builder.xor(bits, builder.lshr(bits, WORD(15)))

    return BITS(BITS), make

'''

EIGHT = f'''
@intrinsic
def __unpack_{{kind}}(typing_context, code, base):
    """A code as a number; `base` are the bits of 2^(E - {{window}})."""

    def make(context, builder, signature, arguments):
        code, base = builder.zext(arguments[0], WORD), builder.trunc(arguments[1], WORD)
        size = builder.and_(code, WORD({{sizes}}))
        bits = builder.add(builder.shl(size, WORD({CUT})), base)
        bits = builder.select(builder.icmp_signed("==", size, WORD(0)), WORD(0), bits)
        endless = builder.or_(WORD({INFINITE}), builder.shl(builder.and_(size, WORD(1)), WORD(22)))
        bits = builder.select(builder.icmp_signed(">=", size, WORD({{infinity}})), endless, bits)
        sign = builder.shl(builder.xor(code, size), WORD(24))
        return builder.bitcast(builder.or_(bits, sign), ir.FloatType())

    return types.float32(types.uint8, types.int64), make


@intrinsic
def __pack_{{kind}}(typing_context, x, base, chance):
    """A number as one of the two codes that are its neighbours, so that the mean is right."""

    def make(context, builder, signature, arguments):
        x, base, chance = arguments
        base = builder.trunc(base, WORD)
        bits = builder.bitcast(x, WORD)
        size = builder.and_(bits, WORD(0x7FFFFFFF))
        least = builder.add(base, WORD(1 << {CUT}))
        noise = builder.or_(builder.shl(chance, WORD(4)), WORD(8))
        code = builder.ashr(builder.sub(builder.add(size, noise), base), WORD({CUT}))
{{below}}
        code = builder.select(builder.icmp_signed("<", size, least), builder.zext(below, WORD), code)
        nan = builder.zext(builder.icmp_signed(">", size, WORD({INFINITE})), WORD)
        endless = builder.add(WORD({{infinity}}), nan)
        code = builder.select(builder.icmp_signed(">=", size, WORD({INFINITE})), endless, code)
{{sign}}
        return builder.trunc(code, ir.IntType(8))

    return types.uint8(types.float32, types.int64, BITS), make

'''

BELOW = {
    True: """\
        number = ir.FloatType()
        share = builder.fmul(builder.fadd(builder.sitofp(chance, number), number(0.5)), number(2.0**-16))
        limit = builder.fmul(builder.bitcast(least, number), share)
        below = builder.fcmp_ordered(">", builder.bitcast(size, number), limit)""",
    False: """\
        below = builder.icmp_signed(">", size, WORD(0))""",
}
SIGN = {
    True: """\
        code = builder.or_(code, builder.and_(builder.lshr(bits, WORD(24)), WORD(0x80)))""",
    False: """\
        wrong = builder.fcmp_ordered("<", x, ir.FloatType()(0.0))
        code = builder.select(wrong, WORD({nan}), code)""",
}

SIXTEEN = '''
@intrinsic
def __widen(typing_context, bits):
    """A bfloat16 as a number."""

    def make(context, builder, signature, arguments):
        wide = builder.shl(builder.zext(arguments[0], WORD), WORD(16))
        return builder.bitcast(wide, ir.FloatType())

    return types.float32(types.uint16), make


@intrinsic
def __shorten(typing_context, x, chance, signed):
    """One of the two bfloat16 neighbours, so that the mean is right; what is above zero stays there unless signed."""

    def make(context, builder, signature, arguments):
        x, chance, signed = arguments
        pattern = builder.add(builder.bitcast(x, WORD), chance)
        kept = builder.select(builder.fcmp_unordered("uno", x, x), WORD(0x7FC00000), pattern)
        kept = builder.lshr(kept, WORD(16))
        above = builder.and_(builder.not_(signed), builder.fcmp_ordered(">", x, ir.FloatType()(0.0)))
        lost = builder.and_(above, builder.icmp_signed("==", kept, WORD(0)))
        return builder.trunc(builder.select(lost, WORD(1), kept), ir.IntType(16))

    return types.uint16(types.float32, BITS, types.boolean), make

'''

BLOCKED = """\
        __start, __length = __from, __n
        for __b in range(0, __length, {block}):
            __from, __n = __start + __b, min({block}, __length - __b)
{arrays}
{bases}
            for __i in range(__n):
{loads}
{body}
{stores}
            for __i in range(__n):
{maxima}
{scales}
            for __i in range(__n):
{packs}"""


class Small:
    """The lines that differ from a kernel of whole state: which of its tensors are codes, and of what kind."""

    def __init__(self, form: Mapping[str, Code], tensors: Sequence[str]) -> None:
        self.form, self.tensors = dict(form), tuple(tensors)
        self.eight = [letter for letter, code in self.form.items() if code.window]
        self.columns = [f"{letter}'s scales" for letter in self.eight]
        self.name = ", ".join(f"{letter} {code.name}" for letter, code in self.form.items())
        self.words = WORDS + (SIXTEEN if len(self.eight) < len(self.form) else "")
        for code in dict.fromkeys(self.form[letter] for letter in self.eight):
            self.words += EIGHT.format(
                kind=code.name,
                window=code.window,
                sizes=0x7F if code.signed else 0xFF,
                infinity=code.infinity,
                below=BELOW[code.signed],
                sign=SIGN[code.signed].format(nan=code.infinity + 1),
            )

    def memory(self, memory: Mapping[str, str]) -> dict[str, str]:
        """Where the arrays begin."""
        own = {}
        for letter, code in self.form.items():
            place = f"__table[__t, {self.tensors.index(letter)}] + __from"
            own[letter] = f"__at_bytes({place})" if code.window else f"at_bits({place} * 2)"
        for index, letter in enumerate(self.eight):
            own[f"_scales_{letter}"] = f"__at_bytes(__table[__t, {len(self.tensors) + index}] + __from // {BLOCK})"
        return {**memory, **own}

    def loads(self, loads: Mapping[str, str]) -> dict[str, str]:
        """Read an element."""
        own = {}
        for letter in loads.keys() & self.form.keys():
            code = self.form[letter]
            wide = f"__unpack_{code.name}(_{letter}[__i], __base_{letter})"
            own[letter] = f"{letter} = {wide if code.window else f'__widen(_{letter}[__i])'}"
        return {**loads, **own}

    def stores(self, stores: Mapping[str, str]) -> dict[str, str]:
        """Write an element: to the buffers, where there are blocks."""
        if not self.eight:
            packs = {"": self._packs({letter: letter for letter in self.form})}
            return {name: line for name, line in stores.items() if name not in self.form} | packs
        return {**stores, **{letter: f"__new_{letter}[__i] = {letter}" for letter in self.form}}

    def _packs(self, values: Mapping[str, str]) -> str:
        """Round by chance: each 32 random bits are for two moments."""
        first = next(iter(self.form))
        lines = [f"__noise = random_bits(__place + __i, _{first}[__i], __high, __low)"]
        for index, (letter, code) in enumerate(self.form.items()):
            if index and index % 2 == 0:
                lines.append("__noise = __again(__noise)")
            chance = f"__part(__noise, {16 * (index % 2)})"
            if code.window:
                packed = f"__pack_{code.name}({values[letter]}, __base_{letter}, {chance})"
            else:
                packed = f"__shorten({values[letter]}, {chance}, {code.signed})"
            lines.append(f"_{letter}[__i] = {packed}")
        return "\n".join(lines)

    @property
    def buffers(self) -> str:
        """The new moments of a block."""
        if not self.eight:
            return ""
        return "".join(f"    __new_{letter} = carray(__buffer(), {BLOCK})\n" for letter in self.form)

    def loop(self, arrays: str, loads: str, body: str, stores: str) -> str:
        """The loops over a chunk's blocks."""
        eight, pad = self.eight, " " * 12
        return BLOCKED.format(
            block=BLOCK,
            arrays=arrays,
            bases="\n".join(
                f"{pad}__base_{each} = (int(__scales_{each}[0]) - {self.form[each].window}) << 23\n"
                f"{pad}__top_{each} = types.int32(0)"
                for each in eight
            ),
            loads=loads,
            body=body,
            stores=stores,
            maxima="\n".join(f"{pad}    __top_{each} = __larger(__top_{each}, __size(__new_{each}[__i]))" for each in eight),
            scales="\n".join(
                f"{pad}__scale = max((int(__top_{each}) + {ROLL}) >> 23, {self.form[each].window + 1})\n"
                f"{pad}__scales_{each}[0] = __scale\n"
                f"{pad}__base_{each} = (__scale - {self.form[each].window}) << 23"
                for each in eight
            ),
            packs=indent(self._packs({each: f"__new_{each}[__i]" for each in self.form}), f"{pad}    "),
        )
