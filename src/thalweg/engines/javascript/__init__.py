"""The equations as JavaScript, for a page: in float32 the bits of `reference`, in float64 all but the last of powers.

`script(rules)` is the whole text; `functions(rule)` that of one rule, refused with its line where it cannot be.
"""

from thalweg.engines.javascript.program import facts, functions, runtime, script, transforms

__all__ = ["facts", "functions", "runtime", "script", "transforms"]
