"""A regular expression that finds a metric in a line: the whole number is read, or the run fails, never a part of it.

`val loss ([0-9.]+)` takes 3.0 from "val loss 3.0e+03" and passes over "val loss nan", so that a run that diverged would
keep the last good value it printed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from thalweg.lab.errors import LabError
from thalweg.lab.task.own_loop import pattern

NUMBER = r"(?:[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?!\d|\.\d)|(?i:nan|inf(?:inity)?)(?![A-Za-z_])))"
PLAIN = re.compile(r"[\d.]+")
GOES_ON = re.compile(r"[A-Za-z0-9_]|\.\d")  # after a number: it was only a part of a word
AROUND = ",;:|()[]{}<>%'\""  # what may stand around a number without a space between


class Expression:
    """The metric's values in lines, by the group `value`, or the first beside `step`, which tells the step."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.compiled = pattern(text)
        names = self.compiled.groupindex
        others = [group for group in range(1, self.compiled.groups + 1) if group != names.get("step")]
        self.value = names.get("value", [*others, 1][0])
        self.any_number = _any_number(text, self.value)

    def reports(self, line: str) -> Iterator[tuple[int | None, float]]:
        """The values in a line, in their order.

        Raises:
            LabError: a group ends within a word that is not a number.
        """
        found = {match.start(): match for match in self.compiled.finditer(line)}
        for match in self.any_number.finditer(line) if self.any_number else ():
            first = found.get(match.start())
            if first is None:
                whole = not PLAIN.fullmatch(match[self.value])  # a sign, an exponent, NaN, infinity
            elif first.start(self.value) == match.start(self.value):
                whole = first.end(self.value) < match.end(self.value)
            else:
                whole = not math.isfinite(float(match[self.value]))
            if whole:
                found[match.start()] = match
        for _, match in sorted(found.items()):
            if (value := number_of(match[self.value])) is not None:
                self._refuse_a_part(match, line)
                step = number_of(match["step"]) if "step" in self.compiled.groupindex else None
                yield None if step is None or not math.isfinite(step) else int(step), value

    def _refuse_a_part(self, match: re.Match[str], line: str) -> None:
        end = match.end(self.value)
        if match.end() == end and GOES_ON.match(line, end):
            raise LabError(
                f"read: got {self.text!r}, which ends within a word of the line {line.strip()[:120]!r}; must take all "
                r"of the number, as (\S+) does, or say what follows it, as in ([0-9.]+)s"
            )


def number_of(text: str | None) -> float | None:
    """The number that a word is, without what may stand around it; None for another word.

    >>> number_of("(0.25),"), number_of("2.4531."), number_of("nan"), number_of("none")
    (0.25, 2.4531, nan, None)
    """
    try:
        return float((text or "").strip().strip(AROUND).rstrip("."))
    except ValueError:
        return None


def _any_number(text: str, value: int) -> re.Pattern[str] | None:
    """The expression with any number in the place of what its group takes; None where that is no expression."""
    span = _group(text, value)
    if span is None:
        return None
    begin, end = span
    try:
        return re.compile(text[:begin] + NUMBER + text[end:])
    except re.error:
        return None


def _group(text: str, value: int) -> tuple[int, int] | None:
    """From where to where the inside of a group goes."""
    opened: list[int] = []  # where the inside of each open bracket begins; -1 for one that is another
    count = 0
    for part in re.finditer(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?P<\w+>|\(\?|[()]", text, re.DOTALL):
        if part[0] == ")":
            if opened and (begin := opened.pop()) >= 0:
                return begin, part.start()
        elif part[0].startswith("("):
            count += part[0] != "(?"
            opened.append(part.end() if part[0] != "(?" and count == value else -1)
    return None
