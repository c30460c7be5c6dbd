"""Cells of the evidence in words, and its tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from thalweg.lab.judging.statistics import mean_interval

FEW = 8  # names that are left out, rather than the others named
WORDS = ("leads", "equivalent", "equal on every seed", "better", "worse", "undecided", "failed", "not run")


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """Markdown; the first columns are words, the others numbers."""
    align = ["---"] * left + ["---:"] * (len(headings) - left)
    return "\n".join("| " + " | ".join(line) + " |" for line in [headings, align, *rows])


def code(names: Iterable[str], of: Sequence[str] = ()) -> str:
    """Names, or of a few that are not among them, where they are most of these."""
    names = list(names)
    rest = [name for name in of if name not in names]
    if of and len(rest) <= min(FEW, len(of) // 2):
        return f"all {len(of)}" + (f" but {code(rest)}" if rest else "")
    return ", ".join(f"`{name}`" for name in names) or "none"


def in_a_word(verdict: str) -> str:
    """The lab says more in some; equal on every seed is equivalent."""
    word = next((word for word in WORDS if verdict.startswith(word)), "not judged")
    return "equivalent" if word.startswith("equal") else word


def measured(value: float | None, half: float | None, metric: str) -> str:
    if value is None:
        return ""
    if metric == "accuracy":
        return f"{100 * value:.1f} %" + ("" if half is None else f" ± {100 * half:.1f}")
    return f"{value:.4g}" + ("" if half is None else f" ± {half:.2g}")


def unit(margin: float, metric: str) -> str:
    return f"{100 * margin:g} points" if metric == "accuracy" else f"{margin:.2g}"


def setting(value: Any) -> str:
    """Three digits, but of what is near 1."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {setting(each)}" for name, each in value.items())
    if isinstance(value, list):
        return f"({', '.join(map(setting, value))})"
    return f"{value:.3g}" if isinstance(value, float) and abs(value) < 0.9 else f"{value:g}"


def interval(values: Sequence[float], sign: str = "") -> str:
    """A mean with its 95 % t-interval, of three values or more."""
    found = mean_interval(list(values))
    return "" if found.n == 0 else f"{found.mean:{sign}.2f}" + (f" ± {found.half:.2f}" if found.n > 2 else "")


def judged(data: Any, regime: str) -> dict[str, Any]:
    """By task, where it has this regime."""
    return {name: data["judged"][f"{name}/{regime}"] for name in data["tasks"] if f"{name}/{regime}" in data["judged"]}


def of_rule(data: Any, regime: str, rule: str) -> dict[str, Any]:
    """A rule's cells in a regime, by task."""
    return {name: one["rows"][rule] for name, one in judged(data, regime).items() if rule in one["rows"]}


def words(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    return [in_a_word(row["verdict"]) for row in rows]
