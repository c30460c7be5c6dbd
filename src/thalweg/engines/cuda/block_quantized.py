"""Small state in CUDA kernels: the codes of `thalweg.tensors.quantization`, bit for bit the same.

A full chunk is four blocks of 256 elements, and a warp has one of them, 8 elements a thread: its maximum is one
instruction of the warp, for which the new moments wait in registers. A tail is stepped block by block. Arithmetic on
patterns is that of 32 bits without sign, which wraps around. Maxima are of floats' bits, whose order as integers is
theirs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from thalweg.tensors.quantization import BLOCK, CUT, INFINITE, MIX, ROLL, TURN, Form

RANDOM = f'''
@triton.jit
def __seed(place, low, high, turn):
    """32 random bits for each of the blocks at these places; `turn` says which."""
    x = place + low + turn
    x = (x ^ (x >> 16)) * {MIX[0]}
    x = (x ^ (x >> 15) ^ high) * {MIX[1]}
    return x ^ (x >> 15)


@triton.jit
def __spread(values):
    """Each block's value for its elements."""
    count: tl.constexpr = values.shape[0]
    return tl.reshape(tl.broadcast_to(values[:, None], (count, {BLOCK})), (count * {BLOCK},))

'''

# tl.max is a kernel of Triton's own: where Triton was imported to compile, its interpreter cannot run it.
EIGHT = f'''
@triton.jit
def __larger(a, b):
    return tl.maximum(a, b)


@triton.jit
def __exponents(x, least):
    """The exponent of each block: that of the largest number that is finite."""
    size = x.to(tl.uint32, bitcast=True) & 0x7FFFFFFF
    finite = tl.where(size < {INFINITE}, size, 0)
    top = tl.reduce(tl.reshape(finite, (x.shape[0] // {BLOCK}, {BLOCK})), 1, __larger)
    return tl.maximum((top + {ROLL}) >> 23, least)


@triton.jit
def __limit(base, random):
    """The bits of what is, in a block and step, just rounded to zero: between that and the number of code 1."""
    least = (base + {1 << CUT}).to(tl.float32, bitcast=True)
    return (least * ((random >> 8).to(tl.float32) * {2.0**-24})).to(tl.uint32, bitcast=True)

'''

UNPACK = f'''
@triton.jit
def __unpack_{{kind}}(code, base):
    """Codes as numbers; `base` are the bits of 2^(E - {{window}})."""
    code = code.to(tl.uint32)
    size = code & {{sizes}}
    bits = tl.where(size == 0, 0, (size << {CUT}) + base)
    bits = tl.where(size >= {{infinity}}, ((size & 1) << 22) | {INFINITE}, bits)
    return (bits | ((code ^ size) << 24)).to(tl.float32, bitcast=True)

'''

PACK = {
    True: f'''
@triton.jit
def __pack_{{kind}}(x, base, limit, random):
    """Numbers as one of the two codes that are their neighbors, so that the mean is right."""
    pattern = x.to(tl.uint32, bitcast=True)
    size = pattern & 0x7FFFFFFF
    code = (tl.maximum(size, base + {1 << CUT}) - base + (random >> {32 - CUT})) >> {CUT}
    code = tl.where(size > limit, code, 0)
    code = tl.where(size >= {INFINITE}, {{infinity}}, code)
    code = tl.where(size > {INFINITE}, {{infinity}} + 1, code)
    return (code | ((pattern >> 24) & 0x80)).to(tl.uint8)

''',
    False: f'''
@triton.jit
def __pack_{{kind}}(x, base, random):
    """Numbers as one of the two codes that are their neighbors, so that the mean is right; above zero they stay."""
    size = x.to(tl.uint32, bitcast=True) & 0x7FFFFFFF
    code = (tl.maximum(size, base + {1 << CUT}) - base + (random >> {32 - CUT})) >> {CUT}
    code = tl.where(size == 0, 0, code)
    code = tl.where(size >= {INFINITE}, {{infinity}}, code)
    return tl.where(x >= 0.0, code, {{infinity}} + 1).to(tl.uint8)

''',
}

SIXTEEN = '''
@triton.jit
def __widen(bits):
    """bfloat16 as numbers."""
    return (bits.to(tl.uint32) << 16).to(tl.float32, bitcast=True)


@triton.jit
def __shorten(x, random, signed: tl.constexpr):
    """One of the two bfloat16 neighbors, so that the mean is right; what is above zero stays there unless signed."""
    pattern = (x.to(tl.uint32, bitcast=True) + (random >> 16)) >> 16
    if not signed:
        pattern = tl.where((x > 0.0) & (pattern == 0), 1, pattern)
    return tl.where(x != x, 0x7FC0, pattern).to(tl.uint16)

'''


class QuantizedLines:
    """The lines that differ from a kernel of whole state: which of its tensors are codes, and of what kind."""

    def __init__(self, form: Form) -> None:
        self.form = dict(form)
        self.eight = [letter for letter, code in form if code.window]
        self.held = {letter: "uint8" if code.window else "bfloat16" for letter, code in form}
        self.columns = [f"{letter}'s scales" for letter in self.eight]
        self.name = ", ".join(f"{letter} {code.name}" for letter, code in form)
        self.words = RANDOM + (EIGHT if self.eight else "") + (SIXTEEN if len(self.eight) < len(form) else "")
        for code in dict.fromkeys(self.form[letter] for letter in self.eight):
            self.words += (UNPACK + PACK[code.signed]).format(
                kind=code.name, window=code.window, sizes=0x7F if code.signed else 0xFF, infinity=code.infinity
            )

    def addresses(self, at: Mapping[str, str]) -> list[str]:
        """Where the scales of the chunk's blocks are; `at`: where the table holds a column."""
        pointer = "tl.pointer_type(tl.uint8)"
        return [
            f"__scales_{letter} = (tl.load({at[name]}) + __first // {BLOCK}).to({pointer})"
            for letter, name in zip(self.eight, self.columns, strict=True)
        ]

    def blocks(self, full: bool) -> list[str]:
        """Which of the chunk's blocks these elements are: all of a full one, else one."""
        return [f"__b = tl.arange(0, BLOCK // {BLOCK})" if full else f"__b = __k // {BLOCK} + tl.arange(0, 1)"]

    def widened(self, read: Collection[str]) -> list[str]:
        """From what was loaded to float32."""
        lines = []
        for letter, code in self.form.items():
            if letter in read and code.window:
                base = f"(tl.load(__scales_{letter} + __b).to(tl.uint32) - {code.window}) << 23"
                lines.append(f"{letter} = __unpack_{code.name}({letter}, __spread({base}))")
            elif letter in read:
                lines.append(f"{letter} = __widen({letter})")
        return lines

    def random(self, at: str) -> list[str]:
        """The places of the blocks in the whole parameter, and what an element adds to its block's bits; `at`: the
        elements' places in the chunk."""
        return [
            f"__places = __place + __b.to(tl.uint32) * {BLOCK}",
            f"__turns = ({at} % {BLOCK}).to(tl.uint32) * {TURN}",
        ]

    def rounding_lines(self, letter: str, full: bool) -> list[str]:
        """The lines that round a new moment, and store its scales."""
        code, index = self.form[letter], list(self.form).index(letter)
        bits, share = (f"__seed(__places, __low, __high, {(2 * index + more) * TURN & 0xFFFFFFFF})" for more in (0, 1))
        bits = f"__spread({bits}) + __turns"
        if not code.window:
            return [f"__new = __shorten({letter}, {bits}, {code.signed})"]
        # Beyond the tensor's end a rule makes moments too, of zeros: they have no part in the scale.
        counted = letter if full else f"tl.where(__mask, {letter}, 0.0)"
        limit = f"__spread(__limit(__base, {share})), " if code.signed else ""
        return [
            f"__scale = __exponents({counted}, {code.window + 1})",
            f"tl.store(__scales_{letter} + __b, __scale.to(tl.uint8))",
            f"__base = (__scale - {code.window}) << 23",
            f"__new = __pack_{code.name}({letter}, __spread(__base), {limit}{bits})",
        ]
