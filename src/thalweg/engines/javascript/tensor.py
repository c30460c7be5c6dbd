"""`per_tensor` as a function of JavaScript, from what it does with tensors that are not there.

Of two or three elements sums and norms have torch's bits; of more, which torch adds up in another order, they are
within a rounding or two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from thalweg.engines.javascript.precision import Precision
from thalweg.engines.javascript.refusal import refusal, refusing
from thalweg.engines.javascript.scalars import SPELLING, Recorded
from thalweg.engines.trace import Trace, Untraceable
from thalweg.engines.traced_tensors import Notation, States, SymbolicTensor
from thalweg.rule.definition import Rule

ROUNDED = {
    "add": "{} + {}", "sub": "{} - {}", "mul": "{} * {}", "div": "{} / {}", "neg": "-{}",
    "sqrt": "Math.sqrt({})", "exp": "Math.exp({})", "log": "Math.log({})", "tanh": "Math.tanh({})",
}  # fmt: skip
EXACT = {
    "abs": "Math.abs({})", "sign": "$sign({})", "maximum": "$maximum({}, {})", "minimum": "$minimum({}, {})",
    "square": "{0} * {0}", "where": "{} ? {} : {}",
    "lt": "{} < {}", "le": "{} <= {}", "gt": "{} > {}", "ge": "{} >= {}", "eq": "{} == {}", "ne": "{} != {}",
    "or": "{} || {}", "and": "{} && {}",
}  # fmt: skip


class JavaScript(Notation):
    """Expressions at place i$; what is one number is worked out once."""

    forms: ClassVar = {**ROUNDED, **EXACT}

    def __init__(self, trace: Trace, precision: Precision) -> None:
        super().__init__(trace)
        self.precision = precision

    def write(self, name: str, texts: Sequence[str]) -> str:
        text = self.forms[name].format(*texts)
        return self.precision.round(text) if name in ROUNDED else f"({text})"

    def scalar(self, name: str) -> str:
        return f"$f({name})" if self.precision.narrow else name

    def total(self, kind: str, of: SymbolicTensor) -> SymbolicTensor:
        word = "$sum" if kind == "sum" else f"$norm{self.precision.name}"
        return self.derived(self.precision.round(f"{word}(P$.length, (i$) => {of.text})"), False)

    def derived(self, text: str, each: bool) -> SymbolicTensor:
        return super().derived(text if each else self.trace.symbol(text).name, each)

    def double(self, of: SymbolicTensor) -> Any:
        """One number in double precision is a number like any other."""
        return self.trace.symbol(of.text) if not of.each else super().double(of)


def of_rule(rule: Rule, precision: Precision) -> str:
    """The function of a rule's measures; 'null' where it has none."""
    if rule.per_tensor is None:
        return "null"
    if rule.matrices or rule.directs:
        first = rule.per_tensor.__code__.co_firstlineno
        what = f"matrices ({', '.join(rule.matrices)})" if rule.matrices else "a direction made of whole tensors"
        raise refusal(rule.name, rule.per_tensor, first, f"{what} need torch")
    trace = Trace(SPELLING)
    notation = JavaScript(trace, precision)
    with refusing(rule.name, rule.per_tensor):
        states = States({name: notation.derived(f"S$.{name}[i$]", True) for name in rule.states})
        numbers = {name: trace.symbol(f"N$.{name}") for name in rule.tensor_numbers}
        p, g = (notation.derived(text, True) for text in ("P$[i$]", "G$[i$]"))
        per_tensor = rule.per_tensor

        def run() -> dict[str, Any]:
            given = per_tensor(p, g, states, **numbers)
            return {name: _one(name, given[name], trace) for name in rule.measures}

        return f"(P$, G$, S$, N$) => {{\n{Recorded(trace, run).body()}  }}"


def _one(name: str, value: Any, trace: Trace) -> Any:
    if not isinstance(value, SymbolicTensor):
        return value
    if value.each:
        raise Untraceable(f"{name} is a whole tensor, and no number")
    return trace.symbol(value.text)
