"""Names of equations as names of JavaScript: no name of Python holds a dollar, so what the engine adds has one."""

from __future__ import annotations

# Names that Python would allow.
RESERVED = frozenset([
    "abstract", "arguments", "boolean", "byte", "case", "catch", "char", "const", "debugger", "default", "delete",
    "do", "double", "enum", "eval", "export", "extends", "false", "final", "float", "function", "goto",
    "implements", "instanceof", "int", "interface", "Infinity", "let", "long", "native", "NaN", "new", "null",
    "package", "private", "protected", "public", "short", "static", "super", "switch", "synchronized", "this",
    "throw", "throws", "transient", "true", "typeof", "undefined", "var", "void", "volatile", "Math",
])  # fmt: skip


def safe(name: str) -> str:
    """The name as a variable's."""
    return f"{name}$" if name in RESERVED else name


def number(value: float) -> str:
    """A number as JavaScript writes it: the shortest that reads back to the same."""
    text = repr(value)
    return {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}.get(text, text)
