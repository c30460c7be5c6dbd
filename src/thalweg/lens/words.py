"""The sentences of the findings. The texts are data: `en.json` and `zh.json` beside this file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

LANGUAGES = ("en", "zh")
LISTED = 4  # names of parameters that a sentence lists


class Number(float):
    """A fact of a sentence: a small share is not told as none."""

    def __format__(self, spec: str) -> str:
        told = super().__format__(spec)
        least = f"{told[:-2]}1%"
        return f"< {least}" if spec.endswith("%") and self > 0 and not told.strip("0.%") else told


@cache
def texts(language: str) -> dict[str, Any]:
    """All texts of a language: `frame`, the sentences between, and `findings`, three for each.

    Raises:
        ValueError: for a language there is not.
    """
    if language not in LANGUAGES:
        raise ValueError(f"language: got {language!r}; must be one of {', '.join(LANGUAGES)}")
    content: dict[str, Any] = json.loads(files("thalweg.lens").joinpath(f"{language}.json").read_text(encoding="utf-8"))
    return content


def tell(
    name: str,
    evidence: str,
    facts: Mapping[str, float | int | str],
    where: tuple[str, ...],
    step: int | None,
    language: str,
) -> str:
    """One finding: what is seen and where, its cause, what to change, and how sure that is."""
    text = texts(language)
    frame = text["frame"]
    numbers = {key: Number(fact) if isinstance(fact, float) else fact for key, fact in facts.items()}
    symptom, cause, change = (line.format(**numbers) for line in text["findings"][name])
    at = frame["step"].format(step=step) if step is not None else ""
    lines = [symptom + at]
    if where:
        more = frame["more"].format(count=len(where) - LISTED) if len(where) > LISTED else ""
        lines.append(frame["where"] + ", ".join(where[:LISTED]) + more)
    lines += [frame["cause"] + cause, frame["change"] + change, frame["evidence"] + frame[evidence]]
    return "\n   ".join(lines)


def tell_tried(tried: Mapping[str, Any], language: str) -> str:
    """What a change did to the loss, when it was tried."""
    frame = texts(language)["frame"]
    low, high = tried["difference"] - tried["margin"], tried["difference"] + tried["margin"]
    if not math.isfinite(low):
        kind = "tried_breaks" if low > 0 else "tried_mends"
    else:
        kind = "tried_lowers" if high < 0 else "tried_raises" if low > 0 else "tried_nothing"
    line: str = frame[kind].format(**{**tried, "difference": abs(tried["difference"])})
    return line


def healthy(language: str) -> str:
    """The one line of a run without findings."""
    line: str = texts(language)["frame"]["healthy"]
    return line
