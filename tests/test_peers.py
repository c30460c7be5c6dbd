"""Who judges the judges: the oracle's younger rules beside public libraries, at every step, and in the states.

Where a library is right about a rule, the two agree to rounding, under a learning rate that changes at every step,
and a hundredth more in any setting is noticed. Where a library is not, the case says what it does, and the test
asserts the difference, so that the claim is tested. The verdicts:

    rule                 agree                                     do not
    rprop, asgd          torch                                     -
    sparse_adam          torch                                     -
    lion                 timm, pytorch_optimizer, optax            -
    adabelief            timm, pytorch_optimizer, optax            -
    adan                 timm, pytorch_optimizer                   optax
    adopt                timm (clip_exp=0.25), optax               pytorch_optimizer; timm's default clip
    ademamix             pytorch_optimizer, optax                  -
    nadamw               optax                                     timm (AlgoPerf's: agrees with ahead=0)
    qhadam               pytorch_optimizer (weights in float32)    -
    adahessian           timm, pytorch_optimizer                   -
    schedule_free_sgd    schedulefree, pytorch_optimizer, optax    optax with warm-up or any change of lr
    schedule_free_adamw  schedulefree, pytorch_optimizer, optax    optax with warm-up or any change of lr
    schedule_free_radam  schedulefree, pytorch_optimizer           pytorch_optimizer with silent_sgd_phase=False
    lamb                 timm, optax                               pytorch_optimizer
    lars                 timm, pytorch_optimizer (matrices)        optax, unless without decay
    cautious             pytorch_optimizer (Lion)                  timm (the released code: agrees with mean_floor)
    prodigy              prodigyopt, pytorch_optimizer, optax      pytorch_optimizer with coupled decay
    shampoo              pytorch_optimizer, taking roots each step pytorch_optimizer, taking them more rarely
    soap                 pytorch_optimizer (QR in float32)         -
"""

from typing import Any

import numpy as np
import papers_matrix as matrix
import papers_modern as modern
import pytest
import torch
from peers import DIFFERENT, ROWS, TOLERANCE, Case, curvature, distance, own_walk, peer_walk
from subjects import largest

ADAM = {"lr": 0.03, "betas": (0.8, 0.95), "eps": 1e-3}
DECAY = {"weight_decay": 0.3}
APART = {"decoupled": True}
ADOPT = {**ADAM, "eps": 0.3}
LION = {"lr": 0.03, "betas": (0.8, 0.95), **DECAY}
ADAN = {"lr": 0.03, "betas": (0.8, 0.9, 0.95), "eps": 1e-3}
ADEMAMIX = {"lr": 0.03, "betas": (0.8, 0.9, 0.97), "eps": 1e-3, "alpha": 4.0, **DECAY}
AVERAGED = {"lr": 0.1, **DECAY, "weight_lr_power": 1.5}
SGD_AVERAGED = {**AVERAGED, "momentum": 0.8}
ADAM_AVERAGED = {**AVERAGED, "betas": (0.8, 0.95), "eps": 1e-3}
WARM = {"warmup_steps": 10, "r": 0.5}
LARS = {"lr": 3.0, "momentum": 0.8, **DECAY}
PRODIGY = {"lr": 0.9, "betas": (0.8, 0.95), "eps": 1e-3, "d0": 1e-2}
ADJUSTED = {**PRODIGY, **DECAY, "beta3": 0.9, "d_coef": 0.9, "growth_rate": 1.4, "safeguard_warmup": True}
UNTURNED = {**ADAM, **DECAY}
SOAP = {**UNTURNED, "shampoo_beta": 0.9, "precondition_frequency": 5}
BIAS = {"bias_correction": True}
MEAN, TEXT = {"mean_floor": 1e-3}, {"mean_floor": None}


def torchs_eigh(symmetric: np.ndarray) -> list[np.ndarray]:
    """torch's own: the first gradient of a vector leaves all but one direction to the routine."""
    return [each.numpy() for each in torch.linalg.eigh(torch.tensor(symmetric))]


def case(oracle: Any, peer: str, shared: Any, ours: Any = None, theirs: Any = None, **more: Any) -> Case:
    return Case(oracle, peer, shared, ours or {}, theirs or {}, **more)


AGREE = [
    case(modern.rprop, "torch.optim:Rprop", {"lr": 0.03, "etas": (0.4, 1.3), "step_sizes": (0.01, 0.1)}),
    case(modern.asgd, "torch.optim:ASGD", {"lr": 0.03, "lambd": 0.3, "alpha": 0.6, "t0": 20.0, **DECAY}),
    case(modern.sparse_adam, "torch.optim:SparseAdam", ADAM, {"touched": lambda t: ROWS[t - 1]}),
    case(modern.lion, "timm.optim.lion:Lion", LION, APART),
    case(modern.lion, "pytorch_optimizer:Lion", LION, APART),
    case(modern.lion, "pytorch_optimizer:Lion", LION, theirs={"weight_decouple": False}),
    case(modern.lion, "optax:lion", LION, APART),
    case(modern.adabelief, "timm.optim.adabelief:AdaBelief", {**ADAM, **DECAY}, APART, {"rectify": False}),
    case(modern.adabelief, "pytorch_optimizer:AdaBelief", {**ADAM, **DECAY}, APART),
    case(modern.adabelief, "optax:adabelief", ADAM, theirs={"eps_root": 1e-3}),
    case(modern.adan, "timm.optim.adan:Adan", {**ADAN, **DECAY}),
    case(modern.adan, "timm.optim.adan:Adan", {**ADAN, **DECAY, "no_prox": True}, APART),
    case(modern.adan, "pytorch_optimizer:Adan", {**ADAN, **DECAY}),
    case(modern.adopt, "timm.optim.adopt:Adopt", {**ADOPT, **DECAY}, theirs={"clip_exp": 0.25}),
    case(modern.adopt, "timm.optim.adopt:Adopt", {**ADOPT, **DECAY, **APART}, theirs={"clip_exp": 0.25}),
    case(modern.adopt, "timm.optim.adopt:Adopt", ADOPT, {"clip": False}, {"clip_exp": None}),
    case(modern.adopt, "pytorch_optimizer:ADOPT", ADOPT, {"clip": False}, {"clip_lambda": None}),
    case(modern.adopt, "optax.contrib:adopt", ADOPT),
    case(
        modern.ademamix, "pytorch_optimizer:AdEMAMix", ADEMAMIX,
        {**APART, "t_warmup": 40}, {"weight_decouple": True, "t_alpha_beta3": 40},
    ),
    case(modern.ademamix, "pytorch_optimizer:AdEMAMix", ADEMAMIX),
    case(modern.ademamix, "optax.contrib:ademamix", ADEMAMIX, APART),
    case(modern.nadamw, "optax:nadamw", {**ADAM, **DECAY}, APART),
    case(modern.nadamw, "timm.optim.nadamw:NAdamW", {**ADAM, **DECAY}, {**APART, "ahead": 0}),
    case(modern.qhadam, "pytorch_optimizer:QHAdam", {**ADAM, **DECAY, "nus": (0.6, 0.9)}, double=True, states=False),
    case(
        modern.adahessian, "pytorch_optimizer:AdaHessian", {**ADAM, **DECAY, "hessian_power": 0.7},
        {**APART, "hessian": curvature},
    ),
    case(
        modern.adahessian, "timm.optim.adahessian:Adahessian", {**ADAM, **DECAY, "hessian_power": 0.7},
        {**APART, "hessian": curvature},
    ),
    case(modern.schedule_free_sgd, "schedulefree:SGDScheduleFree", {**SGD_AVERAGED, **WARM}),
    case(modern.schedule_free_sgd, "pytorch_optimizer:ScheduleFreeSGD", {**SGD_AVERAGED, **WARM}),
    case(modern.schedule_free_sgd, "optax.contrib:schedule_free_sgd", SGD_AVERAGED, constant=True),
    case(modern.schedule_free_adamw, "schedulefree:AdamWScheduleFree", {**ADAM_AVERAGED, **WARM}),
    case(modern.schedule_free_adamw, "pytorch_optimizer:ScheduleFreeAdamW", {**ADAM_AVERAGED, **WARM}),
    case(modern.schedule_free_adamw, "optax.contrib:schedule_free_adamw", ADAM_AVERAGED, constant=True),
    case(modern.schedule_free_radam, "schedulefree:RAdamScheduleFree", {**ADAM_AVERAGED, "r": 0.5}),
    case(
        modern.schedule_free_radam, "schedulefree:RAdamScheduleFree",
        {**ADAM_AVERAGED, "r": 0.5, "silent_sgd_phase": False},
    ),
    case(modern.schedule_free_radam, "pytorch_optimizer:ScheduleFreeRAdam", {**ADAM_AVERAGED, "r": 0.5}),
    case(
        matrix.lamb, "timm.optim.lamb:Lamb", {**ADAM, **DECAY},
        theirs={"max_grad_norm": None, "always_adapt": True},
    ),
    case(
        matrix.lamb, "timm.optim.lamb:Lamb", {**ADAM, **DECAY}, APART,
        {"max_grad_norm": None, "always_adapt": True, "decoupled_decay": True},
    ),
    case(matrix.lamb, "optax:lamb", {**ADAM, **DECAY}),
    case(
        matrix.lars, "timm.optim.lars:Lars", {**LARS, "eps": 0.1},
        {"trust_coefficient": 0.01}, {"trust_coeff": 0.01, "always_adapt": True},
    ),
    case(
        matrix.lamb, "timm.optim.lamb:Lamb", {**ADAM, **DECAY},
        theirs={"max_grad_norm": None, "always_adapt": True}, scale=0.0,
    ),
    case(
        matrix.lars, "timm.optim.lars:Lars", LARS,
        {"trust_coefficient": 0.01}, {"trust_coeff": 0.01, "always_adapt": True, "eps": 0.0}, scale=0.0,
    ),
    case(matrix.prodigy, "prodigyopt:Prodigy", {**PRODIGY, "use_bias_correction": True}, scale=0.0),
    case(matrix.lars, "pytorch_optimizer:LARS", {**LARS, "trust_coefficient": 0.01}),
    case(
        matrix.lars, "optax:lars", {"lr": 3.0, "momentum": 0.8, "trust_coefficient": 0.01, "eps": 0.1},
        {"rate_inside": True},
    ),
    case(matrix.cautious_lion, "pytorch_optimizer:Lion", LION, {**APART, **TEXT}, {"cautious": True}),
    case(matrix.cautious_lion, "timm.optim.lion:Lion", LION, {**APART, **MEAN}, {"caution": True}),
    case(
        matrix.cautious_adam, "timm.optim.adamw:AdamWLegacy", {**ADAM, **DECAY}, {**APART, **MEAN}, {"caution": True}
    ),
    case(
        matrix.cautious_momentum, "timm.optim.sgdw:SGDW", {"lr": 0.03, "momentum": 0.8, "dampening": 0.2, **DECAY},
        {**APART, **MEAN}, {"caution": True},
    ),
    case(matrix.prodigy, "prodigyopt:Prodigy", PRODIGY),
    case(matrix.prodigy, "prodigyopt:Prodigy", {**ADJUSTED, "use_bias_correction": True}),
    case(matrix.prodigy, "prodigyopt:Prodigy", {**PRODIGY, **DECAY}, {"decoupled": False}, {"decouple": False}),
    case(matrix.prodigy, "pytorch_optimizer:Prodigy", ADJUSTED, {"use_bias_correction": True}, BIAS),
    case(
        matrix.prodigy, "optax.contrib:prodigy", {"lr": 0.9, "betas": (0.8, 0.95), "eps": 1e-3, **DECAY},
        {"use_bias_correction": True, "d0": 1e-2}, {"estim_lr0": 1e-2},
    ),
    case(matrix.shampoo, "pytorch_optimizer:Shampoo", {"lr": 0.03, **DECAY}, {"eps": 0.1}, {"matrix_eps": 0.1}),
    case(matrix.soap, "pytorch_optimizer:SOAP", SOAP, double=True),
    case(matrix.soap, "pytorch_optimizer:SOAP", {**UNTURNED, "max_precondition_dim": 4, "correct_bias": False}),
    case(matrix.soap, "pytorch_optimizer:SOAP", UNTURNED, tensor=1),
    case(
        matrix.soap, "pytorch_optimizer:SOAP", {**SOAP, "precondition_1d": True},
        {"eigh": torchs_eigh}, double=True, tensor=1,
    ),
]  # fmt: skip

DIFFER = [
    case(modern.adan, "optax:adan", ADAN, not_right="weighs the change by 1 - b2, in the paper's letters, not b2"),
    case(modern.adopt, "pytorch_optimizer:ADOPT", ADOPT, not_right="clips at (t + 1)^(1/4): a step ahead"),
    case(
        modern.adopt, "pytorch_optimizer:ADOPT", {**ADOPT, **DECAY}, {**APART, "clip": False},
        {"clip_lambda": None, "weight_decouple": True}, not_right="decays at the first step, which only sets v",
    ),
    case(modern.adopt, "timm.optim.adopt:Adopt", ADOPT, not_right="clips at the third root of t by default"),
    case(
        modern.nadamw, "timm.optim.nadamw:NAdamW", {**ADAM, **DECAY}, APART, not_right="corrects m for t, not t + 1"
    ),
    case(
        modern.schedule_free_sgd, "optax.contrib:schedule_free_sgd", {**SGD_AVERAGED, "warmup_steps": 10},
        constant=True, not_right="warms up from a rate of 0, a step later",
    ),
    case(
        modern.schedule_free_sgd, "optax.contrib:schedule_free_sgd", SGD_AVERAGED,
        not_right="weighs a step by the rate of the next",
    ),
    case(
        modern.schedule_free_adamw, "optax.contrib:schedule_free_adamw", {**ADAM_AVERAGED, "warmup_steps": 10},
        constant=True, not_right="warms up from a rate of 0, a step later",
    ),
    case(
        modern.schedule_free_adamw, "optax.contrib:schedule_free_adamw", ADAM_AVERAGED,
        not_right="weighs a step by the rate of the next",
    ),
    case(
        modern.schedule_free_radam, "pytorch_optimizer:ScheduleFreeRAdam",
        {**ADAM_AVERAGED, "r": 0.5, "silent_sgd_phase": False}, not_right="starts at a rate of 1, not lr",
    ),
    case(
        matrix.lamb, "pytorch_optimizer:Lamb", {**ADAM, **DECAY}, theirs={"weight_decouple": False},
        not_right="corrects no bias (the paper's first versions), and takes no norm above 10",
    ),
    case(
        matrix.lars, "optax:lars", {**LARS, "trust_coefficient": 0.01}, {"rate_inside": True},
        not_right="divides by the norm of gradient and decay together, not the sum of their norms",
    ),
    case(
        matrix.cautious_lion, "timm.optim.lion:Lion", LION, {**APART, **TEXT}, {"caution": True},
        not_right="divides by the mean of the mask, as the released code: the text's form is another",
    ),
    case(
        matrix.prodigy, "pytorch_optimizer:Prodigy", {**PRODIGY, **DECAY}, {"decoupled": False},
        {"weight_decouple": False}, not_right="adds coupled decay to gradients that were already used",
    ),
    case(
        matrix.shampoo, "pytorch_optimizer:Shampoo", {"lr": 0.03}, {"eps": 0.1, "update_frequency": 5},
        {"matrix_eps": 0.1, "preconditioning_compute_steps": 5}, not_right="rests until the first roots, at step 5",
    ),
]  # fmt: skip


@pytest.fixture(autouse=True)
def _double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("case", AGREE, ids=str)
def test_the_oracle_agrees_with_its_peer(case):
    assert distance(own_walk(case, {**case.shared, **case.ours}), peer_walk(case)) < TOLERANCE


@pytest.mark.parametrize("case", DIFFER, ids=str)
def test_a_peer_that_is_not_right_differs(case):
    assert distance(own_walk(case, {**case.shared, **case.ours}), peer_walk(case)) > DIFFERENT, case.not_right


def nearby(value: Any) -> list[list[Any]]:
    """What a setting is moved to: for each of its numbers, values of which the path must notice one.

    A hundredth more may change no sign and reach no bound; half as much again does.
    """
    if isinstance(value, bool):
        return [[not value]]
    if isinstance(value, int):
        return [[value + 1]]
    if isinstance(value, float):
        return [[1.01 * value, 1.5 * value]]
    if isinstance(value, tuple):
        return [[(*value[:i], 1.01 * each, *value[i + 1 :])] for i, each in enumerate(value)]
    return []


@pytest.mark.parametrize("case", AGREE, ids=str)
def test_every_setting_is_noticed(case):
    settings = {**case.shared, **case.ours}
    for name, value in settings.items():
        if name == "weight_lr_power" and case.constant:
            continue  # equal weights, whatever the power
        # Between 0 and 1e-3 the floor is reached by no mask of 25 elements: the other form of the scale, then.
        other_form = [[None if value else 1e-3]]
        for choices in other_form if name == "mean_floor" else nearby(value):
            walks = [own_walk(case, {**settings, name: moved}) for moved in choices]
            off = largest(distance(walk, peer_walk(case)) for walk in walks)
            assert off > 10 * TOLERANCE, f"{name}={choices} goes unnoticed ({off:.1e})"
