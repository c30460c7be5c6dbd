"""What was found: an outcome for each law and implementation, and the report that people and programs read."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from thalweg.conformance.law import LAWS

HOLDS, BREAKS, NOT_APPLICABLE = "holds", "breaks", "does not apply"
WIDTH = 118


@dataclass(frozen=True)
class Outcome:
    """One law on one implementation: does it hold, and the evidence in a line."""

    law: str
    variant: str
    status: str
    evidence: str


@dataclass(frozen=True)
class Report:
    """Every outcome of one class with its settings."""

    subject: str
    settings: str
    torch: str
    variants: tuple[str, ...]
    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...] = ()

    @property
    def holds(self) -> list[Outcome]:
        """Where a law holds."""
        return self._with(HOLDS)

    @property
    def breaks(self) -> list[Outcome]:
        """Where a law breaks."""
        return self._with(BREAKS)

    @property
    def not_applicable(self) -> list[Outcome]:
        """Where a law asks for something that this class does not have, or clearly refuses."""
        return self._with(NOT_APPLICABLE)

    def _with(self, status: str) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.status == status]

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON takes it."""
        meanings = {law.name: law for law in LAWS}
        return {
            "class": self.subject,
            "settings": self.settings,
            "torch": self.torch,
            "variants": list(self.variants),
            "notes": list(self.notes),
            "outcomes": [
                {**asdict(each), "theme": meanings[each.law].theme, "meaning": meanings[each.law].meaning}
                for each in self.outcomes
            ],
        }

    def write(self, path: Path) -> None:
        """Write the report as JSON."""
        path.write_text(json.dumps(self.to_dict(), indent=1) + "\n", encoding="utf-8")

    def __str__(self) -> str:
        called = f"{self.subject}({self.settings})" if self.settings else self.subject
        counts = ", ".join(
            f"{sum(_worst(each) == status for each in self._by_law())} {words}"
            for status, words in ((HOLDS, "hold"), (BREAKS, "break"), (NOT_APPLICABLE, "do not apply"))
        )
        lines = [f"{called}, torch {self.torch}", f"{len(self._by_law())} laws: {counts}"]
        if len(self.variants) > 1:
            lines.append(f"each on {' | '.join(self.variants)}")
        lines += [f"note: {note}" for note in self.notes]
        for status in (BREAKS, NOT_APPLICABLE, HOLDS):
            found = [line for law in self._by_law() for line in self._lines(law, status)]
            if found:
                lines += ["", f"{status.upper()}", *found]
        return "\n".join(lines)

    def _by_law(self) -> list[list[Outcome]]:
        order = {law.name: place for place, law in enumerate(LAWS)}
        ordered = sorted(self.outcomes, key=lambda outcome: order[outcome.law])
        return [list(each) for _, each in groupby(ordered, key=lambda outcome: outcome.law)]

    def _lines(self, outcomes: list[Outcome], status: str) -> Iterator[str]:
        """A law's lines of one status: one where all implementations say the same, else one for each thing said."""
        here = [outcome for outcome in outcomes if outcome.status == status]
        if not here:
            return
        name, meaning = here[0].law, {law.name: law.meaning for law in LAWS}[here[0].law]
        if status == BREAKS:
            yield textwrap.fill(f"{name}: {meaning}", WIDTH, initial_indent="  ", subsequent_indent="      ")
        said: dict[str, list[str]] = {}
        for outcome in here:
            # Where it holds, the evidence of the first stands for all.
            key = here[0].evidence if status == HOLDS else outcome.evidence
            said.setdefault(key, []).append(outcome.variant)
        for evidence, variants in said.items():
            all_of_them = len(variants) == len(self.variants)
            where = "" if all_of_them else f"[{', '.join(variants)}] "
            first = "      " if status == BREAKS else f"  {name}: "
            yield textwrap.fill(where + evidence, WIDTH, initial_indent=first, subsequent_indent="      ")


def _worst(outcomes: list[Outcome]) -> str:
    found = {outcome.status for outcome in outcomes}
    return next(status for status in (BREAKS, HOLDS, NOT_APPLICABLE) if status in found)
