"""This package's own optimizers keep every law that torch's interface leaves them to keep."""

from __future__ import annotations

import pytest

from thalweg import optim
from thalweg.conformance.law import LAWS
from thalweg.conformance.run import try_laws

# The switches foreach and fused change nothing here, so one run stands for all; the modes are tried inside the laws.
SUBJECTS = [
    (optim.Adam, {}),
    (optim.SGD, {"momentum": 0.9, "nesterov": True}),
    (optim.RAdam, {}),
    (optim.SOAP, {}),
    (optim.Prodigy, {}),
    (optim.ScheduleFreeAdamW, {}),
]


@pytest.mark.apart
@pytest.mark.parametrize(("cls", "settings"), SUBJECTS, ids=lambda value: getattr(value, "__name__", ""))
def test_ours_break_nothing(cls, settings):
    report = try_laws(cls, {**settings, "foreach": None}, apart=False)
    assert report.breaks == [], str(report)
    assert len(report.holds) > 0.8 * len(LAWS)
