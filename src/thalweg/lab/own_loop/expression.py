"""A regular expression that finds a metric in a line: the whole number is read, or the run fails, never a part of it.

`val loss ([0-9.]+)` takes 3.0 from "val loss 3.0e+03" and passes over "val loss nan", so that a run that diverged would
keep the last good value it printed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from thalweg.lab.errors import LabError
from thalweg.lab.own_loop.number import NUMBER, THOUSANDS, number_of, unwrapped
from thalweg.lab.task.own_loop import pattern

PLAIN = re.compile(r"[\d.]+")
GOES_ON = re.compile(r"[A-Za-z0-9_]|\.\d")  # after a number: it was only a part of a word
NEARLY = re.compile(r"[+-]?\.?\d|.*(?:tensor|array)\(", re.IGNORECASE)  # how a word begins that was to be a number


class Expression:
    """The metric's values in lines, by the group `value`, or the first beside `step`, which tells the step."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.compiled = pattern(text)
        names = self.compiled.groupindex
        others = [group for group in range(1, self.compiled.groups + 1) if group != names.get("step")]
        self.value = names.get("value", [*others, 1][0])
        self.any_number = _any_number(text, self.value)

    def reports(self, line: str) -> Iterator[tuple[int | None, float | None]]:
        """The values in a line, in their order; None for a word that is not a number, such as "None" or "ERROR":
        the text may have matched by chance, unless it is the last.

        What Python prints of a tensor is taken for its number, and where nothing is found so, for its letters.

        Raises:
            LabError: a group ends within a word that is not a number.
        """
        found = list(self._reports(unwrapped(line)))
        yield from found if any(value is not None for _, value in found) else self._reports(line)

    def _reports(self, line: str) -> Iterator[tuple[int | None, float | None]]:
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
            word = match[self.value]
            value = number_of(word)
            if value is not None or (word and NEARLY.match(word)):
                self._refuse_a_part(match, line, value is None)
            said = match["step"] if "step" in self.compiled.groupindex else ""
            step = number_of((said or "").replace(",", ""))
            yield None if step is None or not math.isfinite(step) else int(step), value

    def _refuse_a_part(self, match: re.Match[str], line: str, other: bool) -> None:
        end = match.end(self.value)
        word = re.compile(r"\S*").match(line, match.start(self.value))
        thousands = word is not None and THOUSANDS.match(word[0])
        if other:
            raise LabError(
                f"read: got {self.text!r}, which takes {match[self.value]!r} of the line {line.strip()[:120]!r}; must "
                "take one number"
            )
        if match.end() == end and (
            GOES_ON.match(line, end) or (thousands and thousands.end() > len(match[self.value]))
        ):
            raise LabError(
                f"read: got {self.text!r}, which ends within a word of the line {line.strip()[:120]!r}; must take all "
                r"of the number, as (\S+) does, or say what follows it, as in ([0-9.]+)s"
            )


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
