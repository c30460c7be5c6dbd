"""How JavaScript keeps the precision of torch: float32 by rounding after every operation, float64 as it is.

The sum, difference, product, quotient or root of two float32 numbers, worked out in double precision and then rounded,
is the float32 one, so `Math.fround` around each operation gives the bits of a float32 processor.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Precision:
    """A dtype: `name` as the runtime calls it; `narrow` where each result is rounded."""

    name: str
    dtype: str
    array: str
    narrow: bool

    def round(self, expression: str) -> str:
        """The expression, rounded to this precision, as an operand."""
        return f"$f({expression})" if self.narrow else f"({expression})"


F32 = Precision("f32", "float32", "Float32Array", True)
F64 = Precision("f64", "float64", "Float64Array", False)
PRECISIONS = (F32, F64)
