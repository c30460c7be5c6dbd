"""Try one law on one subject: whatever the optimizer does, the answer is an outcome."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import torch

import thalweg.conformance.laws  # noqa: F401  (enters the laws)
from thalweg.conformance.errors import BrokenError, NotApplicableError, RefusedError
from thalweg.conformance.law import LAWS, Law
from thalweg.conformance.report import BREAKS, HOLDS, NOT_APPLICABLE, Outcome
from thalweg.conformance.subject import Subject, words
from thalweg.conformance.threads import threads

MODES_SHOWN = 2
Job = tuple[dict[str, Any], str]  # an implementation's flags and a law's name


def outcomes(cls: type[torch.optim.Optimizer], settings: dict[str, Any], jobs: Sequence[Job]) -> Iterator[Outcome]:
    """Try the jobs here, one after the other."""
    by_name = {law.name: law for law in LAWS}
    subjects: dict[str, Subject] = {}
    # The tensors are small: on a busy machine a second thread costs 10 times what a step does. The laws on threads
    # set their own number.
    with threads(1):
        for variant, law in jobs:
            subject = subjects.setdefault(words(variant), Subject(cls, settings, variant))
            yield judge(by_name[law], subject)


def judge(law: Law, subject: Subject) -> Outcome:
    """The outcome of one law; under every mode of the subject where the law asks for it."""
    try:
        with Undisturbed():
            subjects = subject.modes if law.modes else [subject]
            _ = subject.feed
    except RefusedError as refusal:
        return _cannot_step(law, subject, refusal)
    tried = [(each, *_try(law, each)) for each in subjects]
    for status in (BREAKS, HOLDS, NOT_APPLICABLE):
        here = [(each, evidence) for each, found, evidence in tried if found == status]
        if here:
            return Outcome(law.name, words(subject.variant), status, _tell(here, len(tried), status))
    raise AssertionError("a law has an outcome")


def _cannot_step(law: Law, subject: Subject, refusal: RefusedError) -> Outcome:
    """One implementation that refuses (fused, for a dtype or a device) is no fault; the only one is."""
    if subject.variant and refusal.clear and any(subject.variant.values()):
        return Outcome(law.name, words(subject.variant), NOT_APPLICABLE, f"refuses: {refusal}")
    status = BREAKS if law.name == "steps" else NOT_APPLICABLE
    return Outcome(law.name, words(subject.variant), status, f"it cannot be stepped: {refusal}")


def _tell(here: list[tuple[Subject, str]], tried: int, status: str) -> str:
    """The evidence, with the modes it was seen in where it was not seen in all."""
    first, evidence = here[0]
    if status != BREAKS or (len(here) == tried and not first.mode):
        return evidence + (f" (and in {tried - 1} other modes)" if status != NOT_APPLICABLE and tried > 1 else "")
    shown = [f"{words(each.mode) or 'by default'}: {said}" for each, said in here[:MODES_SHOWN]]
    more = len(here) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more > 0 else "")


def _try(law: Law, subject: Subject) -> tuple[str, str]:
    try:
        with Undisturbed():
            return HOLDS, law.check(subject)
    except BrokenError as broken:
        return BREAKS, str(broken)
    except NotApplicableError as reason:
        return NOT_APPLICABLE, str(reason)
    except RefusedError as refusal:
        if law.may_refuse and refusal.clear:
            return NOT_APPLICABLE, f"refuses: {refusal}"
        return BREAKS, f"raises {refusal}"
    except Exception as error:
        # Raised in the law's own lines: most often it met something that an optimizer does not do.
        where = traceback.extract_tb(error.__traceback__)[-1]
        return BREAKS, f"{type(error).__name__}: {error} (in {where.name}, line {where.lineno})"


class Undisturbed:
    """torch's random numbers, settings and the warnings are as they were afterwards."""

    def __enter__(self) -> None:
        self._random = torch.random.get_rng_state()
        self._warnings = warnings.catch_warnings()
        self._warnings.__enter__()
        warnings.simplefilter("ignore")

    def __exit__(self, *_: object) -> None:
        self._warnings.__exit__(None, None, None)
        torch.random.set_rng_state(self._random)
