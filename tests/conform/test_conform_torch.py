"""What the laws see in torch's own classes (2.13, CPU): known faults, where they are and where they are not."""

from __future__ import annotations

import pytest
import torch

from thalweg.conformance.run import try_laws

LOOP, FOREACH, FUSED = "foreach=False", "foreach=True", "fused=True"
EVERY = {LOOP, FOREACH, FUSED}
ADAM, SGD, RMSPROP = torch.optim.Adam, torch.optim.SGD, torch.optim.RMSprop
KNOWN = [
    (ADAM, "sliced_parameters", {FUSED}, "the parameters differ"),
    (SGD, "sliced_parameters", {FUSED}, "the parameters differ"),
    (torch.optim.Adagrad, "transposed_parameters", {FUSED}, "the parameters differ"),
    (SGD, "a_step_skipped_by_a_scaler", {FUSED}, "momentum=0.9: seen: 3 steps after the skipped one"),
    (SGD, "late_gradients", {FUSED}, "momentum=0.9: raises TypeError"),
    (ADAM, "loading_keeps_dtypes", EVERY, "exp_avg is torch.bfloat16 after loading"),
    (ADAM, "loaded_state_is_a_copy", EVERY, "'step' differ in 1 of 1 elements: 4 instead of 2"),
    (ADAM, "bfloat16_state_does_not_freeze", EVERY, "exp_avg_sq is 0."),
    (RMSPROP, "a_constant_gradient", {LOOP, FOREACH}, "centered=True: seen: nan by step"),
    (SGD, "gradients_are_left_alone", {FOREACH}, "nesterov=True, momentum=0.9: seen: the gradients after the step"),
    (ADAM, "autograd_is_told", {FUSED}, "version [0, 0] after"),
    (SGD, "nan_lr", EVERY, "lr=nan is silently accepted"),
    (SGD, "misspelt_group_settings", EVERY, "a group with weight_decayy=0.1 is silently accepted"),
    (ADAM, "overlapping_views", EVERY, "[:5] and [3:] of one tensor is silently accepted"),
    (ADAM, "tensor_lr_of_each_group", {LOOP, FUSED}, "[0.001953125, 0.001953125]"),
    (torch.optim.Rprop, "nan_shows", {LOOP, FOREACH}, "where the gradient was NaN"),
    (torch.optim.LBFGS, "copied_and_pickled", {""}, "no attribute '_params'"),
]


@pytest.mark.parametrize(("cls", "law", "where", "evidence"), KNOWN, ids=lambda value: getattr(value, "__name__", None))
def test_a_known_fault_is_seen_where_it_is(cls, law, where, evidence):
    report = try_laws(cls, {}, laws=[law], apart=False)
    assert {outcome.variant for outcome in report.breaks} == where, str(report)
    for outcome in report.breaks:
        assert evidence in outcome.evidence


@pytest.mark.parametrize(
    ("cls", "need"),
    [
        (torch.optim.LBFGS, "a closure"),
        (torch.optim.SparseAdam, "sparse gradients"),
        ("Muon", "2-dimensional parameters"),
        (torch.optim.Adamax, "nothing but a gradient"),
    ],
)
def test_what_a_step_needs_is_found_out(cls, need):
    if isinstance(cls, str):
        cls = getattr(torch.optim, cls, None) or pytest.skip(f"this torch has no {cls}")
    report = try_laws(cls, {}, laws=["steps", "the_same_run_twice", "resumed_run", "goes_downhill"], apart=False)
    assert report.breaks == []
    assert report.holds[0].evidence == f"it takes {need}"
