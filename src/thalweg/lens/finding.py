"""A finding: what was seen, where, how sure that is; its sentences are in `words`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from thalweg.lens import words

if TYPE_CHECKING:
    from thalweg.lens.tried import Tried

MOST = 3  # findings that are told: the cause comes before its symptoms


class Evidence(Enum):
    """How sure a finding is. Healthy runs of the same model would be a third kind, comparison."""

    PROOF = "proof"
    RULE_OF_THUMB = "rule of thumb"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or worth a look.

    Args:
        name: one of the findings of `en.json`.
        evidence: proof, or a rule of thumb, which says "look" and never "wrong".
        facts: the numbers that its sentences quote.
        where: names of the parameters it is about; empty for the whole run.
        step: the step at which it was first seen; None where that is not known.
        text: which of its sentences, where it has several; empty: the only ones.
        tried: what its advice did when it was tried; None where it was not.
    """

    name: str
    evidence: Evidence
    facts: Mapping[str, float | int | str] = field(default_factory=dict)
    where: tuple[str, ...] = ()
    step: int | None = None
    text: str = ""
    tried: Tried | None = None

    def tell(self, language: str = "en") -> str:
        """Symptom, cause, what to change, and the evidence, in "en" or "zh"."""
        told = words.tell(self.text or self.name, self.evidence.value, self.facts, self.where, self.step, language)
        return told if self.tried is None else f"{told}\n   {words.tell_tried(vars(self.tried), language)}"

    def __str__(self) -> str:
        return self.tell()

    __repr__ = __str__  # a list of findings is read, too


def told(findings: Sequence[Finding], language: str = "en") -> str:
    """The findings as text; one line where there is none."""
    if not findings:
        return words.healthy(language)
    return "\n\n".join(f"{number}. {each.tell(language)}" for number, each in enumerate(findings, 1))
