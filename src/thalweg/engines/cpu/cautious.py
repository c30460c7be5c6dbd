"""Caution in CPU kernels: one pass counts the elements of each chunk that agree with their gradient and writes nothing,
the other steps. What an element's step would be is worked out twice: its tensor's scale is known after all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from thalweg.engines.cpu.over_chunks import Pass
from thalweg.plan.chunks import Integers
from thalweg.rule.equations import Program
from thalweg.update.cautious import LEAST

COUNTING = Pass(
    "agreeing", "agreeing_in_all", "How many elements of each chunk would go along with their gradient.",
    ("__rows", "__counts"),
)  # fmt: skip
NONE_YET = "        __count = 0"
COUNT = "__count += 1 if __agrees else 0"
COUNTED = "        __counts[__c] = __count"
SCALE = "        __enlarge = __scales[__t]"


def staged(program: Program) -> list[str]:
    """The equations' lines, and between the transforms' and the rule's what caution compares with afterwards."""
    p, g = program.tensors[:2]
    lines = [*program.lines[: program.staged], f"__before, __g = {p}, {g}", *program.lines[program.staged :]]
    # By signs: the product of the two may be too small for its dtype.
    agree = "__agrees = ((__down > 0) & (__g > 0)) | ((__down < 0) & (__g < 0))"
    return [*lines, f"__down = __before - {p}", agree]


def scaled(program: Program) -> str:
    """The line that makes the rule's step a cautious one. NaN goes through."""
    p = program.tensors[0]
    goes = "__agrees | (__down != __down) | (__g != __g)"
    return f"{p} = __before + __enlarge * ({p} - __before) if {goes} else __before"


def scales(chunks: Integers, counts: Integers, numels: Sequence[int], dtype: Any) -> npt.NDArray[Any]:
    """What each tensor's step is multiplied by, from the counts of its chunks."""
    elements = np.array(numels, dtype=dtype)
    agreed = np.zeros(len(elements), dtype=np.int64)
    np.add.at(agreed, chunks[:, 0], counts)
    least = np.array(LEAST, dtype=dtype) * elements
    enlarged: npt.NDArray[Any] = elements / np.maximum(np.maximum(agreed.astype(dtype), least), elements == 0)
    return enlarged
