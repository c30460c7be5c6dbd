"""Numbers at the edge: NaN and infinity must show where they are and nowhere else; what is finite stays so."""

from __future__ import annotations

import math

import torch

from thalweg.conformance.errors import BrokenError
from thalweg.conformance.evidence import different, same
from thalweg.conformance.law import expect, law, need
from thalweg.conformance.subject import Subject, gradients, numbers

THEME = "numbers"
LONG_RUN = 2_000
LOOK = 50  # steps between two looks
ENDLESS = 1e12  # where no gradient of 1,000 and less leads at a constant pace
ALL_TOGETHER = "its steps depend on all parameters together"
SIZES = [1.0, -1.0, 0.1, 1e-3, 3.7, 0.0, 17.3, 1e3, 1e-6, 0.33, -0.7, 2.0]


@law(THEME, modes=True)
def a_constant_gradient(s: Subject) -> str:
    """Under a constant gradient the parameters stay finite for 2,000 steps."""
    params = s.params((16, 16))
    g = torch.cat([torch.tensor(SIZES, device="cpu"), *numbers([256 - len(SIZES)], 3)]).view(16, 16)
    optimizer, largest = s.build(params), 0.0
    for step in range(1, LONG_RUN + 1):
        s.step(optimizer, [g])
        if s.couples_parameters:
            size = float(params[0].detach().abs().max())
            largest = size if math.isfinite(size) else largest
        wrong = ~params[0].detach().isfinite() if step % LOOK == 0 else torch.zeros(1, dtype=torch.bool, device="cpu")
        if wrong.any():
            need(largest < ENDLESS, "its steps grow without end under a constant gradient")
            value, where = params[0].detach()[wrong][0].item(), g[wrong][0].item()
            raise BrokenError(f"{value} by step {step}, where the gradient is {where:.4g}", "finite")
    return f"{LONG_RUN} steps of 1e-6 to 1e3: finite"


@law(THEME)
def zero_gradients(s: Subject) -> str:
    """Gradients of zero give no NaN."""
    params = s.params()
    s.run(params, [[torch.zeros_like(p) for p in params]] * 5)
    expect(all(bool(p.isfinite().all()) for p in params), "a parameter is not finite", "finite")
    return "5 steps of zeros: finite"


@law(THEME)
def nan_shows(s: Subject) -> str:
    """A NaN in a gradient shows in its parameter: it is not swallowed."""
    params = s.params()
    drawn = gradients(params, 3)
    drawn[1][0].view(-1)[2] = math.nan
    optimizer = s.build(params)
    s.step(optimizer, drawn[0])
    s.step(optimizer, drawn[1])
    s.step(optimizer, drawn[2])
    value = params[0].flatten()[2].item()
    expect(math.isnan(value), f"{value:.6g} where the gradient was NaN", "NaN")
    return "nan where the gradient was"


@law(THEME)
def nan_stays_in_its_parameter(s: Subject) -> str:
    """A NaN in one parameter's gradient does not reach another parameter."""
    need(not s.couples_parameters, ALL_TOGETHER)
    return _contained(s, math.nan)


@law(THEME)
def infinity_stays_in_its_parameter(s: Subject) -> str:
    """An infinite gradient of one parameter does not reach another parameter."""
    need(not s.couples_parameters, ALL_TOGETHER)
    return _contained(s, math.inf)


@law(THEME)
def nan_stays_in_its_element(s: Subject) -> str:
    """Where elements are stepped apart, a NaN stays in its own."""
    need(not (s.couples_elements or s.couples_parameters), "an element's step depends on others")
    bad, good = s.params((4, 3)), s.params((4, 3))
    drawn = gradients(good, 3)
    s.run(good, drawn)
    drawn[1][0].view(-1)[2] = math.nan
    s.run(bad, drawn)
    apart = different(bad[0], good[0]).flatten()
    apart[2] = False
    expect(not apart.any(), f"{int(apart.sum())} of its 11 neighbors differ", "none")
    return "its 11 neighbors: the same bits"


def _contained(s: Subject, poison: float) -> str:
    bad, good = s.params(), s.params()
    drawn = gradients(good, 3)
    s.run(good, drawn)
    drawn[1][0].view(-1)[2] = poison
    s.run(bad, drawn)
    same(bad[1:], good[1:], f"with {poison} in the gradient of another, a parameter")
    return "the other parameter: the same bits"
