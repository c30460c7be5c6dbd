"""Rules that no class holds yet, run as their two functions stand, beside the papers."""

import numpy as np
import papers_modern
import pytest
import torch
from subjects import gradients, parameters

from thalweg.rule import Rule
from thalweg.rules.schedule_free_adamw import schedule_free_adamw
from thalweg.rules.schedule_free_radam import schedule_free_radam
from thalweg.rules.schedule_free_sgd import schedule_free_sgd
from thalweg.rules.sparse_adam import sparse_adam

STEPS = 120
TOLERANCE = 100 * STEPS * torch.finfo(torch.float64).eps  # as in test_oracle.py
SHAPE = (7, 5)
GIVEN = [g for (g,) in gradients([SHAPE], STEPS)]


def follow(rule: Rule, settings, rate=None) -> dict[str, np.ndarray]:
    """The parameter and the states after all steps; `rate(t)` is a schedule."""
    [start] = parameters([SHAPE])
    p, *held = start.detach().clone(), *[torch.zeros(SHAPE, dtype=torch.float64) for _ in rule.states]
    settings = {name: each.default for name, each in rule.hyperparameters.items()} | settings
    carried = dict(rule.carried)
    for t, g in enumerate(GIVEN, start=1):
        if rate is not None:
            settings["lr"] = rate(t)
        numbers = rule.per_step(float(t), *carried.values(), **settings)
        carried = {name: numbers[name] for name in carried}
        p, *held = rule.per_element(p, g, *held, **{name: numbers[name] for name in rule.element.numbers})
    return {"p": p.numpy()} | {
        rule.torch_names[name]: state.numpy() for name, state in zip(rule.states, held, strict=True)
    }


def far(ours: np.ndarray, theirs: np.ndarray) -> float:
    assert np.isfinite(ours).all()
    return float((np.abs(ours - theirs) / np.maximum(1.0, np.abs(theirs))).max())


def saw(t: float) -> float:
    """A learning rate that goes up and down, so that its maximum and its present value part."""
    return 0.01 * (1 + t % 7)


CASES = [
    (schedule_free_sgd, {"lr": 0.05}),
    (schedule_free_sgd, {"lr": 0.05, "momentum": 0.7, "warmup_steps": 20.0, "r": 1.0, "weight_lr_power": 1.0}),
    (schedule_free_sgd, {"lr": 0.0}),
    (schedule_free_adamw, {"lr": 0.01}),
    (schedule_free_adamw, {"betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.2, "warmup_steps": 10.0, "r": 0.5}),
    (schedule_free_radam, {"lr": 0.01, "weight_decay": 0.2}),
    (schedule_free_radam, {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-3, "silent_sgd_phase": False, "r": 0.5}),
]


@pytest.mark.parametrize("rate", [None, saw], ids=["steady", "schedule"])
@pytest.mark.parametrize(("rule", "settings"), CASES, ids=lambda each: getattr(each, "name", None))
def test_schedule_free_rules_agree_with_the_paper(rule, settings, rate):
    """The parameter holds y, the states are z and v; x follows from y and z as the departures say."""
    ours = follow(rule, settings, rate)
    [start] = parameters([SHAPE])
    lr = rate or settings.get("lr", rule.hyperparameters["lr"].default)
    oracle = getattr(papers_modern, rule.name)
    paper = oracle(start.detach().numpy(), lambda _, t: GIVEN[t - 1].numpy(), steps=STEPS, **{**settings, "lr": lr})
    momentum = settings.get("momentum", settings.get("betas", (0.9, 0.0))[0])
    x = ours["p"] + (1 - 1 / momentum) * (ours["z"] - ours["p"])
    assert far(x, paper.path[-1]) < TOLERANCE
    for name in ours.keys() - {"p"}:
        assert far(ours[name], paper.state[name]) < TOLERANCE


def test_sparse_adam_on_all_rows_is_torchs():
    for settings in ({}, {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-3}):
        [p] = parameters([SHAPE])
        theirs = torch.optim.SparseAdam([p], **settings)
        for g in GIVEN:
            p.grad = g.to_sparse(1)
            theirs.step()
        ours = follow(sparse_adam, settings)
        assert far(ours["p"], p.detach().numpy()) < TOLERANCE
        for name in ("exp_avg", "exp_avg_sq"):
            assert far(ours[name], theirs.state[p][name].numpy()) < TOLERANCE
