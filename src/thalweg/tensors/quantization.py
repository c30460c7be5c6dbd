"""Small state: moments kept in 16 or 8 bits an element, told in torch operations. docs/how_it_works.md has a drawing.

`state_dtype` is one of
- 'float32': as the arithmetic is (float64 beside float64 parameters);
- 'bfloat16': 2 bytes an element;
- 'int8': 1 byte an element, and 1 byte for each block of 256 elements that follow each other in memory. The block's
  byte is an exponent E as in a float32: that of the largest finite number in the block, or one more where that is above
  1.625 * 2^(E - 127), the largest number that a code can say. A signed code (first moments) is a sign, 4 bits of
  exponent and 3 of mantissa, an unsigned one (second moments) 5 and 3: floating-point numbers cut short, the largest
  exponent standing for E. Code 0 is zero; the two above all others are infinity and NaN. Numbers of an unsigned state
  that are below zero, which its rule promised not to make, turn to NaN.

Numbers are rounded up or down at random, so that the mean is right: by nearest a second moment would freeze, as a step
changes it by a thousandth, and neighboring codes are a tenth apart. The scales are powers of two for the same reason:
a number on the grid stays on it, whatever the scale, so that what does not change is not rounded anew in every step.
Errors: at most 1/8 of a number (1/16 to the nearest) that is above the least code, which is 1.125 * 2^-15 (signed) or
2^-31 (unsigned) of 2^(E - 127). Below it a signed number becomes zero or the least code, by chance; an unsigned one
above zero the least code, as it stands below a fraction bar.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from thalweg.tensors.layout import local
from thalweg.tensors.rounding import Noise
from thalweg.tensors.subclasses import ordinary

Tensor = torch.Tensor
BLOCK = 256
LIMIT = 4096  # elements; what is smaller keeps full state: biases and norms, which are few and matter much
STATE_DTYPES = ("float32", "bfloat16", "int8")
SCALE = "_scale"  # a state's name and this are the name of its scales

INFINITE = 0x7F800000  # as a float32's bits
ROLL = 0x2FFFFF  # added to a float32's bits: above 1.625 * 2^e, the largest code, the exponent is e + 1
TURN = 0x9E3779B1  # 2^32 over the golden ratio, to the next prime: its multiples are spread evenly
MIX = (0x21F0AAAD, 0xD35A2D97)
CUT = 20  # of 23 bits of mantissa those that a code leaves out


@dataclass(frozen=True)
class Code:
    """One way to keep a moment. `window`: the largest exponent in an 8-bit code; 0 for bfloat16."""

    name: str
    signed: bool
    window: int = 0

    @property
    def dtype(self) -> torch.dtype:
        return torch.uint8 if self.window else torch.bfloat16

    @property
    def infinity(self) -> int:
        """The code of infinity; NaN's is the next."""
        return self.window << 3 | 6

    def decode(self, held: Tensor, scales: Tensor | None) -> Tensor:
        """Elements in their order in memory as float32."""
        if scales is None:
            return held.float()
        base = _bases(scales, self.window, held.numel())
        code = held.to(torch.int32)
        size = code & 0x7F if self.signed else code
        bits = torch.where(size == 0, 0, (size << CUT) + base)
        bits = torch.where(size >= self.infinity, INFINITE | (size & 1) << 22, bits)
        x = bits.view(torch.float32)
        return torch.where(code > 0x7F, -x, x) if self.signed else x

    def encode(self, x: Tensor, random: Random | None) -> tuple[Tensor, Tensor | None]:
        """float32 elements as codes and, of 8 bits, the scales. Without random bits it is the nearest."""
        if self.window:
            return self._eight(x, random)
        if random is None:
            rounded = x.to(torch.bfloat16)
        else:
            up = ((x.view(torch.int32) + (random.bits >> 16).to(torch.int32)) & ~0xFFFF).view(torch.float32)
            rounded = torch.where(x != x, x, up).to(torch.bfloat16)
        if not self.signed:
            rounded = torch.where((x > 0) & (rounded == 0), torch.finfo(torch.float32).tiny * 2**-7, rounded)
        return rounded.to(torch.bfloat16), None

    def _eight(self, x: Tensor, random: Random | None) -> tuple[Tensor, Tensor]:
        bits = x.view(torch.int32)
        size = bits & 0x7FFFFFFF
        scales = _scales(size, self.window)
        base = _bases(scales, self.window, x.numel())
        least = base + (1 << CUT)  # the bits of the number of code 1
        chance = 1 << CUT - 1 if random is None else (random.bits >> 32 - CUT).to(torch.int32)
        code = (size.clamp(max=INFINITE).maximum(least) - base + chance) >> CUT
        kept = x != 0
        if self.signed:
            share = 0.5 if random is None else _spread((random.shares >> 8).float() * 2.0**-24, x.numel())
            kept = x.abs() > least.view(torch.float32) * share  # also true of all that is above the least
        code = torch.where(kept, code, 0)
        code = torch.where(size >= INFINITE, self.infinity, code)
        code = torch.where((x == x) if self.signed else x >= 0, code, self.infinity + 1)
        return ((code | bits >> 24 & 0x80) if self.signed else code).to(torch.uint8), scales


@dataclass(frozen=True)
class Random:
    """What one moment is rounded by in a step: 32 random bits an element (as int64), and 32 a block.

    A block begins with bits that are new in every step, and each element of it adds a constant to those before. So an
    element's bits are as random as the block's, which is what a right mean asks for, and neighbors' are evenly spread.
    One addition: mixing each element's bits anew took longer than moving its bytes. What is too small for any code is
    rounded to zero or not by a second number of the block.
    """

    bits: Tensor
    shares: Tensor

    def to(self, device: torch.device) -> Random:
        return Random(self.bits.to(device), self.shares.to(device))


def random_of(noise: Noise, count: int, index: int) -> Random:
    """The random bits of the moment at an index among those of the parameter. Parameters of one shape have the same."""
    places = noise.offset + torch.arange(blocks(count), device="cpu") * BLOCK
    turns = torch.arange(BLOCK, device="cpu").repeat(len(places))[:count] * TURN
    starts = _mixed(places, noise.keys, 2 * index)
    return Random(_spread(starts, count) + turns & 0xFFFFFFFF, _mixed(places, noise.keys, 2 * index + 1))


def _mixed(places: Tensor, keys: int, index: int) -> Tensor:
    """32 random bits of each place: a mixer of Wellons' family, keyed twice."""
    x = places + (keys & 0xFFFFFFFF) + index * TURN & 0xFFFFFFFF
    x = (x ^ x >> 16) * MIX[0] & 0xFFFFFFFF
    x = (x ^ x >> 15 ^ keys >> 32) * MIX[1] & 0xFFFFFFFF
    return x ^ x >> 15


def _spread(values: Tensor, count: int) -> Tensor:
    """Each block's value for its elements."""
    return values.repeat_interleave(BLOCK)[:count]


def _scales(size: Tensor, window: int) -> Tensor:
    """The exponent of each block, from its elements' bits without sign: those that are finite count."""
    finite = torch.where(size < INFINITE, size, 0)
    rows = torch.nn.functional.pad(finite, (0, -len(size) % BLOCK)).view(-1, BLOCK)
    exponents = (rows.amax(1) + ROLL) >> 23 if len(rows) else rows.sum(1)
    return exponents.clamp(min=window + 1).to(torch.uint8)  # below that the codes would be less than float32's normal


def _bases(scales: Tensor, window: int, count: int) -> Tensor:
    """The bits of 2^(E - window) for each element."""
    return _spread(scales.to(torch.int32) - window, count) << 23


SIGNED, UNSIGNED = Code("signed", True, 15), Code("unsigned", False, 31)
WIDE_SIGNED, WIDE_UNSIGNED = Code("bfloat16", True), Code("bfloat16, above zero", False)


def code_of(kind: str, state_dtype: str) -> Code:
    """How a moment of a kind ('signed', 'unsigned' or 'slow') is kept. A slow one is a signed one that averages over
    so many steps that 8 bits would add more noise than gradients have: 16 are enough."""
    if state_dtype == "bfloat16" or kind == "slow":
        return WIDE_UNSIGNED if kind == "unsigned" else WIDE_SIGNED
    return UNSIGNED if kind == "unsigned" else SIGNED


Form = tuple[tuple[str, Code], ...]  # the states that are kept small, by their letters in the equations


def form_of(moments: Mapping[str, str], state_dtype: str, p: Tensor) -> Form:
    """How the moments of a parameter are kept: those of a rule, whose kinds `moments` tells."""
    if state_dtype == "float32" or p.numel() < LIMIT:
        return ()
    if state_dtype not in STATE_DTYPES:
        raise ValueError(f"state_dtype={state_dtype!r}: allowed are {', '.join(map(repr, STATE_DTYPES))}")
    return tuple((letter, code_of(kind, state_dtype)) for letter, kind in moments.items())


def wide(p: Tensor) -> str | None:
    """Why a parameter's states cannot be small; None where they can."""
    if not ordinary(type(local(p))):
        return f"a parameter of class {type(local(p)).__name__}, which has operations of its own, keeps full state"
    if p.dtype in (torch.float32, torch.bfloat16, torch.float16):
        return None
    return f"a parameter of {p.dtype} keeps full state; allowed is 'float32', by which states are as the arithmetic is"


def blocks(numel: int) -> int:
    """How many scales that many elements have."""
    return -(-numel // BLOCK)
