"""Text out of a task, a message or somebody's folder, as it may be printed: nothing in it steers a terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

KEPT = "\n\t"
TURNING = set("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # reverse what follows them


def visible(text: str) -> str:
    r"""The text with its control characters spelled out.

    >>> print(visible("sgd\x1b[31m"))
    sgd\x1b[31m
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(letter if _plain(letter) else letter.encode("unicode_escape").decode() for letter in text)


def _plain(letter: str) -> bool:
    """Lone surrogates are not: no terminal's encoding has them, so that printing one raises."""
    return letter in KEPT or (unicodedata.category(letter) not in ("Cc", "Cs") and letter not in TURNING)


def aligned(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table's lines on a terminal."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in [headings, *rows]]  # fmt: skip
