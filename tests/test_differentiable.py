"""differentiable=True: autograd sees through the steps, to gradients, parameters and hyperparameters."""

import pytest
import torch
from subjects import PLAIN

import thalweg.optim as optim

RULES = [subject for subject in PLAIN if not (subject.entry.rule.matrices or subject.entry.optimizer.second_order)]


@pytest.mark.parametrize("subject", RULES, ids=str)
def test_gradcheck(subject):
    generator = torch.Generator().manual_seed(0)
    start, g = (torch.randn(4, generator=generator, dtype=torch.float64) + 2 for _ in range(2))
    rate = torch.tensor(0.05, dtype=torch.float64)

    def steps(start, g, rate):
        p = start.clone()
        optimizer = subject.build([p], lr=rate, differentiable=True, weight_decay=0.01)
        for step in range(3):
            p.grad = g * (1 + step)
            optimizer.step()
        return p

    assert torch.autograd.gradcheck(steps, [each.requires_grad_() for each in (start, g, rate)])


def test_the_steps_are_those_that_are_not_recorded():
    given = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    outcome = []
    for differentiable in (True, False):
        p = torch.ones(4, requires_grad=True).clone() if differentiable else torch.nn.Parameter(torch.ones(4))
        optimizer = optim.Adam([p], differentiable=differentiable, engine="reference")
        for g in given:
            p.grad = g
            optimizer.step()
        outcome.append(p.detach())
    assert torch.equal(*outcome)


def test_betas_are_differentiable():
    """The bias corrections depend on them, too."""

    def steps(beta1, beta2):
        p = torch.ones(3, dtype=torch.float64)
        optimizer = optim.Adam([p], betas=(beta1, beta2), differentiable=True)
        for g in (1.0, -2.0, 0.5):
            p.grad = torch.full((3,), g, dtype=torch.float64)
            optimizer.step()
        return p

    betas = [torch.tensor(beta, dtype=torch.float64, requires_grad=True) for beta in (0.9, 0.99)]
    assert torch.autograd.gradcheck(steps, betas)


def test_a_fast_engine_by_name_is_refused():
    p = torch.ones(2)
    p.grad = torch.ones(2)
    with pytest.raises(ValueError, match="engine='cpu' with differentiable=True"):
        optim.Adam([p], differentiable=True, engine="cpu").step()
