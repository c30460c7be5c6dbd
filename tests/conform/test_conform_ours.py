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
    (optim.RMSprop, {"centered": True}),
    (optim.RAdam, {}),
    (optim.Adagrad, {}),
]
NOT_YET = {
    "overlapping_views": "parameters that share memory are stepped twice",
    "bfloat16_parameters_move": "a bfloat16 parameter is rounded to nearest, so a step below half its spacing is lost",
    "tensor_lr_of_each_group": "groups share the tensor that was given as learning rate",
}


@pytest.mark.parametrize(("cls", "settings"), SUBJECTS, ids=lambda value: getattr(value, "__name__", ""))
def test_ours_break_nothing(cls, settings):
    laws = [law.name for law in LAWS if law.name not in NOT_YET]
    report = try_laws(cls, {**settings, "foreach": None}, laws=laws, apart=False)
    assert report.breaks == [], str(report)
    assert len(report.holds) > 0.9 * len(laws)


def not_yet(law):
    return pytest.param(law, marks=pytest.mark.xfail(strict=True, reason=NOT_YET[law]))


@pytest.mark.parametrize("law", [not_yet(law) for law in NOT_YET])
def test_what_is_not_kept_yet(law):
    assert try_laws(optim.Adam, {"foreach": None}, laws=[law], apart=False).breaks == []
