"""Every law can be kept, and every law can be broken: one optimizer keeps them all, one planted fault breaks each."""

from __future__ import annotations

import pytest
from faults import FAULTS
from right import Right

from thalweg.conformance.law import LAWS
from thalweg.conformance.run import try_laws

NAMES = [law.name for law in LAWS]


def test_every_law_has_a_name_of_its_own_and_a_meaning():
    assert len(set(NAMES)) == len(NAMES)
    assert [law.name for law in LAWS if not law.meaning.endswith(".")] == []


@pytest.mark.apart
def test_a_right_optimizer_breaks_nothing():
    report = try_laws(Right, {}, apart=False)
    assert report.breaks == []
    unasked = {"sparse_gradients", "complex_numbers", "implementations_agree"}
    assert {outcome.law for outcome in report.not_applicable} == unasked


@pytest.mark.parametrize("name", NAMES)
def test_a_planted_fault_breaks_its_law(name):
    cls, settings = FAULTS[name]
    report = try_laws(cls, settings, laws=[name], apart=False)
    assert [outcome.law for outcome in report.breaks][:1] == [name], str(report)
    assert report.breaks[0].evidence
