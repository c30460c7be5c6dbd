"""Small state in CPU kernels: the codes of `thalweg.tensors.quantization`, bit for bit the same.

Moments in 8 bits take three loops over each block of 256 elements, which stays in the first cache: unpack and step,
leaving the new moments in a buffer on the stack; find the block's maxima; pack. Memory is passed over once. The codes
are floating-point numbers cut short, so that unpacking and packing are shifts and sums of 32-bit integers: Numba would
make these 64 bits wide, hence the LLVM instructions. Maxima are of floats' bits, whose order as integers is theirs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import indent

from thalweg.tensors.quantization import BLOCK, CUT, INFINITE, MIX, ROLL, TURN, Code

WORDS = f'''
@intrinsic
def __at_bytes(typing_context, address):
    """The memory at an address, as a pointer to bytes."""

    def make(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.uint8)(types.int64), make


@intrinsic
def __seed(typing_context, place, low, high, index):
    """32 random bits for the block at a place: the index says which."""

    def make(context, builder, signature, arguments):
        place, low, high, index = (builder.trunc(argument, WORD) for argument in arguments)
        x = builder.add(builder.add(place, low), builder.mul(index, WORD({TURN})))
        x = builder.mul(builder.xor(x, builder.lshr(x, WORD(16))), WORD({MIX[0]}))
        x = builder.mul(builder.xor(builder.xor(x, builder.lshr(x, WORD(15))), high), WORD({MIX[1]}))
        return builder.xor(x, builder.lshr(x, WORD(15)))

    return BITS(types.int64, types.int64, types.int64, types.int64), make


@intrinsic
def __next(typing_context, random):
    """The bits of the next element."""

    def make(context, builder, signature, arguments):
        return builder.add(arguments[0], WORD({TURN}))

    return BITS(BITS), make

'''

BUFFER = f'''
@intrinsic
def __buffer(typing_context):
    """A block of float32 on the stack."""

    def make(context, builder, signature, arguments):
        with builder.goto_entry_block():
            block = builder.alloca(ir.FloatType(), WORD({BLOCK}))
        block.align = 64
        return block

    return types.CPointer(types.float32)(), make

'''

MAXIMA = f'''
@intrinsic
def __size(typing_context, x):
    """A number's bits without its sign."""

    def make(context, builder, signature, arguments):
        return builder.and_(builder.bitcast(arguments[0], WORD), WORD(0x7FFFFFFF))

    return BITS(types.float32), make


@intrinsic
def __pattern(typing_context, x):
    """A number's bits: what is below zero is larger than any other."""

    def make(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], WORD)

    return BITS(types.float32), make


@intrinsic
def __finite(typing_context, x):
    """A number's bits without its sign; 0 unless it is finite."""

    def make(context, builder, signature, arguments):
        size = builder.and_(builder.bitcast(arguments[0], WORD), WORD(0x7FFFFFFF))
        return builder.select(builder.icmp_unsigned("<", size, WORD({INFINITE})), size, WORD(0))

    return BITS(types.float32), make


@intrinsic
def __larger(typing_context, a, b):
    """The larger of two."""

    def make(context, builder, signature, arguments):
        a, b = arguments
        return builder.select(builder.icmp_unsigned(">", a, b), a, b)

    return BITS(BITS, BITS), make


@intrinsic
def __limit(typing_context, base, random):
    """The bits of what is, in this block and step, just rounded to zero: between that and the number of code 1."""

    def make(context, builder, signature, arguments):
        base, random = arguments
        number = ir.FloatType()
        least = builder.bitcast(builder.add(builder.trunc(base, WORD), WORD(1 << {CUT})), number)
        share = builder.fmul(builder.uitofp(builder.lshr(random, WORD(8)), number), number(2.0**-24))
        return builder.bitcast(builder.fmul(least, share), WORD)

    return BITS(types.int64, BITS), make

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
        # From the code of infinity on: as far above it as the code.
        far = builder.sub(WORD({INFINITE} - ({{infinity}} << {CUT})), base)
        bits = builder.select(builder.icmp_signed("<", size, WORD({{infinity}})), bits, builder.add(bits, far))
        sign = builder.shl(builder.xor(code, size), WORD(24))
        return builder.bitcast(builder.or_(bits, sign), ir.FloatType())

    return types.float32(types.uint8, types.int64), make


@intrinsic
def __pack_{{kind}}(typing_context, x, base, limit, random):
    """A finite number as one of the two codes that are its neighbors, so that the mean is right."""

    def make(context, builder, signature, arguments):
        x, base, limit, random = arguments
        base, chance = builder.trunc(base, WORD), builder.lshr(random, WORD({32 - CUT}))
        least = builder.add(base, WORD(1 << {CUT}))
        bits = builder.bitcast(x, WORD)
{{pack}}
        return builder.trunc(code, ir.IntType(8))

    return types.uint8(types.float32, types.int64, BITS, BITS), make


@intrinsic
def __mark_{{kind}}(typing_context, code, x):
    """The code, or infinity's and NaN's where x is not a number of this kind."""

    def make(context, builder, signature, arguments):
        code, x = arguments
        number, byte = ir.FloatType(), ir.IntType(8)
        bits = builder.bitcast(x, WORD)
        sign = builder.trunc(builder.and_(builder.lshr(bits, WORD(24)), WORD({{sign}})), byte)
        size = builder.and_(bits, WORD(0x7FFFFFFF))
        far = builder.icmp_unsigned(">=", size, WORD({INFINITE}))
        code = builder.select(far, builder.or_(byte({{infinity}}), sign), code)
        wrong = builder.fcmp_unordered({{wrong}})
        return builder.select(wrong, builder.or_(byte({{infinity}} + 1), sign), code)

    return types.uint8(types.uint8, types.float32), make

'''

PACK = {
    True: """\
        size = builder.and_(bits, WORD(0x7FFFFFFF))
        above = builder.select(builder.icmp_signed(">", size, least), size, least)
        code = builder.lshr(builder.add(builder.sub(above, base), chance), WORD({cut}))
        code = builder.select(builder.icmp_signed(">", size, limit), code, WORD(0))
        code = builder.or_(code, builder.and_(builder.lshr(bits, WORD(24)), WORD(0x80)))""",
    False: """\
        above = builder.select(builder.icmp_signed(">", bits, least), bits, least)
        code = builder.lshr(builder.add(builder.sub(above, base), chance), WORD({cut}))
        code = builder.select(builder.icmp_signed("==", bits, WORD(0)), WORD(0), code)""",
}
WRONG = {True: '"uno", x, x', False: '"<", x, number(0.0)'}

SIXTEEN = '''
@intrinsic
def __widen(typing_context, bits):
    """A bfloat16 as a number."""

    def make(context, builder, signature, arguments):
        wide = builder.shl(builder.zext(arguments[0], WORD), WORD(16))
        return builder.bitcast(wide, ir.FloatType())

    return types.float32(types.uint16), make


@intrinsic
def __shorten(typing_context, x, random, signed):
    """One of the two bfloat16 neighbors, so that the mean is right; what is above zero stays there unless signed."""

    def make(context, builder, signature, arguments):
        x, random, signed = arguments
        pattern = builder.add(builder.bitcast(x, WORD), builder.lshr(random, WORD(16)))
        kept = builder.select(builder.fcmp_unordered("uno", x, x), WORD(0x7FC00000), pattern)
        kept = builder.lshr(kept, WORD(16))
        above = builder.and_(builder.not_(signed), builder.fcmp_ordered(">", x, ir.FloatType()(0.0)))
        lost = builder.and_(above, builder.icmp_signed("==", kept, WORD(0)))
        return builder.trunc(builder.select(lost, WORD(1), kept), ir.IntType(16))

    return types.uint16(types.float32, BITS, types.boolean), make

'''

LOOP = """\
        __start, __length = __from, __n
        for __b in range(0, __length, {block}):
            __from, __n = __start + __b, min({block}, __length - __b)
{begin}
            for __i in range(__n):
{step}{finish}"""

# Infinity and NaN have no part in a block's maximum, and are looked for only where it tells of them.
FINISH = """
            __far = {far}
            if __far:
                {again}
                for __i in range(__n):
{maxima}
{scales}
            for __i in range(__n):
{packs}
            if __far:
                for __i in range(__n):
{marks}"""


class QuantizedLines:
    """The lines that differ from a kernel of whole state: which of its tensors are codes, and of what kind."""

    def __init__(self, form: Mapping[str, Code], tensors: Sequence[str]) -> None:
        self.form, self.tensors = dict(form), tuple(tensors)
        self.eight = [letter for letter, code in self.form.items() if code.window]
        self.columns = [f"{letter}'s scales" for letter in self.eight]
        self.name = ", ".join(f"{letter} {code.name}" for letter, code in self.form.items())
        self.words = WORDS + (BUFFER + MAXIMA if self.eight else "") + (SIXTEEN if len(self.eight) < len(form) else "")
        for code in dict.fromkeys(self.form[letter] for letter in self.eight):
            self.words += EIGHT.format(
                kind=code.name,
                window=code.window,
                sizes=0x7F if code.signed else 0xFF,
                sign=0x80 if code.signed else 0,
                infinity=code.infinity,
                pack=PACK[code.signed].format(cut=CUT),
                wrong=WRONG[code.signed],
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
        """Write an element: of 8 bits to a buffer, until the block's maximum is known."""
        own = {}
        for letter, code in self.form.items():
            if code.window:
                size = "size" if code.signed else "pattern"
                own[letter] = f"__new_{letter}[__i] = {letter}"
                own[letter] += f"\n__top_{letter} = __larger(__top_{letter}, __{size}({letter}))"
            else:
                own[letter] = f"_{letter}[__i] = __shorten({letter}, __random_{letter}, {code.signed})"
                own[letter] += f"\n__random_{letter} = __next(__random_{letter})"
        return {**stores, **own}

    @property
    def buffers(self) -> str:
        """The new moments of a block."""
        return "".join(f"    __new_{letter} = carray(__buffer(), {BLOCK})\n" for letter in self.eight)

    def loop(self, parts: Mapping[str, str], finish: bool = True) -> str:
        """The loops over a chunk's blocks. `finish`: new moments are packed."""
        eight, lines = self.eight, [parts["arrays"].rstrip()]
        for index, letter in enumerate(self.form):
            lines.append(f"__random_{letter} = __seed(__place, __low, __high, {2 * index})")
        for letter in eight:
            lines.append(f"__base_{letter} = (int(__scales_{letter}[0]) - {self.form[letter].window}) << 23")
            lines.append(f"__top_{letter} = BITS(0)")
        begin = "\n".join(line if line.startswith(" ") else " " * 12 + line for line in lines)
        packing = self._finish() if eight and finish else ""
        return LOOP.format(
            block=BLOCK, begin=begin, step="\n".join([parts["loads"], parts["body"], parts["stores"]]), finish=packing
        )

    def _finish(self) -> str:
        again, maxima, scales, packs, marks = [], [], [], [], []
        for letter in self.eight:
            code, index = self.form[letter], list(self.form).index(letter)
            again.append(f"__top_{letter} = BITS(0)")
            maxima.append(f"__top_{letter} = __larger(__top_{letter}, __finite(__new_{letter}[__i]))")
            scales.append(f"__scale = max((int(__top_{letter}) + {ROLL}) >> 23, {code.window + 1})")
            scales.append(f"__scales_{letter}[0] = __scale")
            scales.append(f"__base_{letter} = (__scale - {code.window}) << 23")
            scales.append(
                f"__limit_{letter} = __limit(__base_{letter}, __seed(__place, __low, __high, {2 * index + 1}))"
            )
            bases = f"__base_{letter}, __limit_{letter}, __random_{letter}"
            packs.append(f"_{letter}[__i] = __pack_{code.name}(__new_{letter}[__i], {bases})")
            packs.append(f"__random_{letter} = __next(__random_{letter})")
            marks.append(f"_{letter}[__i] = __mark_{code.name}(_{letter}[__i], __new_{letter}[__i])")
        far = " or ".join(f"__top_{letter} >= {INFINITE}" for letter in self.eight)
        return FINISH.format(
            far=far,
            again="\n                ".join(again),
            maxima=indent("\n".join(maxima), " " * 20),
            scales=indent("\n".join(scales), " " * 12),
            packs=indent("\n".join(packs), " " * 16),
            marks=indent("\n".join(marks), " " * 20),
        )
