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
            here = [[outcome for outcome in law if outcome.status == status] for law in self._by_law()]
            tell = self._reasons if status == NOT_APPLICABLE else self._lines
            found = list(tell([law for law in here if law]))
            if found:
                lines += ["", status.upper(), *found]
        return "\n".join(lines)

    def _by_law(self) -> list[list[Outcome]]:
        order = {law.name: place for place, law in enumerate(LAWS)}
        ordered = sorted(self.outcomes, key=lambda outcome: order[outcome.law])
        return [list(each) for _, each in groupby(ordered, key=lambda outcome: outcome.law)]

    def _lines(self, laws: list[list[Outcome]]) -> Iterator[str]:
        """A law's evidence: one line where all implementations say the same, else one for each thing said."""
        meanings = {law.name: law.meaning for law in LAWS}
        for here in laws:
            name, breaks = here[0].law, here[0].status == BREAKS
            if breaks:
                yield _fill(f"  {name}: {meanings[name]}")
            said: dict[str, list[str]] = {}
            for outcome in here:
                # Where it holds, the evidence of the first stands for all.
                said.setdefault(outcome.evidence if breaks else here[0].evidence, []).append(outcome.variant)
            for evidence, variants in said.items():
                yield _fill(("      " if breaks else f"  {name}: ") + self._on(variants) + evidence)

    def _reasons(self, laws: list[list[Outcome]]) -> Iterator[str]:
        """What does not apply, by its reason: one reason often stands for many laws."""
        names: dict[tuple[str, str], list[str]] = {}
        for here in laws:
            said: dict[str, list[str]] = {}
            for outcome in here:
                said.setdefault(outcome.evidence, []).append(outcome.variant)
            for evidence, variants in said.items():
                names.setdefault((self._on(variants), evidence), []).append(here[0].law)
        for (where, evidence), those in names.items():
            yield _fill(f"  {', '.join(those)}: {where}{evidence}")

    def _on(self, variants: list[str]) -> str:
        return "" if len(variants) == len(self.variants) else f"[{', '.join(variants)}] "


def _fill(text: str) -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent="      ")


def _worst(outcomes: list[Outcome]) -> str:
    found = {outcome.status for outcome in outcomes}
    return next(status for status in (BREAKS, HOLDS, NOT_APPLICABLE) if status in found)
