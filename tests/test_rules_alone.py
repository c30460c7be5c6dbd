"""Rules that no class holds yet, run as their two functions stand, beside the papers."""

import numpy as np
import torch
from subjects import gradients, parameters

from thalweg.rule.definition import Rule
from thalweg.rules.sparse_adam import sparse_adam

STEPS = 120
TOLERANCE = 100 * STEPS * torch.finfo(torch.float64).eps  # as in test_oracle.py
SHAPE = (7, 5)
GIVEN = [g for (g,) in gradients([SHAPE], STEPS)]


def follow(rule: Rule, settings) -> dict[str, np.ndarray]:
    """The parameter and the states after all steps."""
    [start] = parameters([SHAPE])
    p, *held = start.detach().clone(), *[torch.zeros(SHAPE, dtype=torch.float64) for _ in rule.states]
    settings = {name: each.default for name, each in rule.hyperparameters.items()} | settings
    carried = dict(rule.carried)
    for t, g in enumerate(GIVEN, start=1):
        numbers = rule.per_step(float(t), *carried.values(), **settings)
        carried = {name: numbers[name] for name in carried}
        p, *held = rule.per_element(p, g, *held, **{name: numbers[name] for name in rule.element.numbers})
    return {"p": p.numpy()} | {
        rule.torch_names[name]: state.numpy() for name, state in zip(rule.states, held, strict=True)
    }


def far(ours: np.ndarray, theirs: np.ndarray) -> float:
    assert np.isfinite(ours).all()
    return float((np.abs(ours - theirs) / np.maximum(1.0, np.abs(theirs))).max())


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
