"""What a dtype does to a step: double precision, halves that must not freeze, complex numbers."""

from __future__ import annotations

import torch

from thalweg.conformance.errors import BrokenError, RefusedError
from thalweg.conformance.evidence import same
from thalweg.conformance.law import expect, law, need
from thalweg.conformance.subject import Subject, gradients, slots

THEME = "dtypes"
FLOATS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
FREEZE = 1_500  # steps: with beta2 = 0.999 the mean square of ones is then at 0.78
APART = 1 / 8  # a state that follows in bfloat16 is within rounding, 1/128; one that freezes is off by a half
WALK = 100
PACE = 1e-3  # below half the spacing of bfloat16 at 1: a plain rounding gives 1 back


@law(THEME)
def float64_and_float32_agree(s: Subject) -> str:
    """A run in float64 agrees with one in float32 to the rounding of float32."""
    single, double = s.params(), s.params(dtype=torch.float64)
    for p in (*single, *double):
        p.data.zero_()  # the results are then all the rule's, and as fine as it is
    drawn = gradients(single, 10)
    s.run(single, drawn)
    s.run(double, [[g.double() for g in each] for each in drawn])
    s.near(single, double, 10, "the float32 parameters", floor=0.0)
    return "10 steps: the same to rounding"


@law(THEME, may_refuse=True)
def dtypes_stay(s: Subject) -> str:
    """Parameters of each floating dtype keep it, and stay finite."""
    taken = []
    for dtype in FLOATS:
        params = s.params(dtype=dtype)
        try:
            s.run(params, gradients(params, 3))
        except RefusedError as refusal:
            if not refusal.clear or dtype == torch.float32:
                raise
            continue
        for p in params:
            expect(p.dtype == dtype, f"{dtype} became {p.dtype}", f"{dtype}")
            expect(bool(p.isfinite().all()), f"{dtype} parameters are not finite after 3 steps", "finite")
        taken.append(str(dtype).removeprefix("torch."))
    return f"{', '.join(taken)} stay"


@law(THEME, may_refuse=True)
def mixed_dtypes(s: Subject) -> str:
    """Parameters of several dtypes in one optimizer step as in optimizers of their own."""
    need(not s.couples_parameters, "its steps depend on all parameters together")
    dtypes = (torch.float32, torch.bfloat16, torch.float64)
    mixed, apart = ([s.params(dtype=dtype)[0] for dtype in dtypes] for _ in range(2))
    drawn = gradients(mixed, 3)
    s.run(mixed, drawn)
    for place, p in enumerate(apart):
        s.run([p], [[each[place]] for each in drawn])
    same(mixed, apart)
    return "float32, bfloat16, float64: the same bits as apart"


@law(THEME, may_refuse=True)
def complex_numbers(s: Subject) -> str:
    """A complex parameter is refused, or steps as the pair of its real and imaginary parts."""
    need(not s.feed.sparse, "it takes sparse gradients")
    number = s.params(dtype=torch.complex64)
    pair = [torch.nn.Parameter(torch.view_as_real(p.detach()).clone()) for p in number]
    drawn = gradients(number, 4)
    s.run(number, drawn)
    s.run(pair, [[torch.view_as_real(g) for g in each] for each in drawn])
    s.near([torch.view_as_real(p.detach()) for p in number], pair, 4)
    return "4 steps: as pairs of reals"


@law(THEME, may_refuse=True)
def bfloat16_parameters_move(s: Subject) -> str:
    """A bfloat16 parameter of 1 moves under 100 steps of about 0.001, each too small to show by itself."""
    need(s.has("lr"), "it has no lr")
    shape = s.vector(8)
    half, single = (
        torch.nn.Parameter(torch.ones(shape, dtype=dtype, device="cpu")) for dtype in (torch.bfloat16, torch.float32)
    )
    ones = [[torch.ones(shape, device="cpu")]] * WALK
    s.run([single], ones, lr=PACE)
    way = float(1 - single.mean())
    need(way > 2 * torch.finfo(torch.bfloat16).eps, f"in float32 it moves by {way:.2g} only")
    s.run([half], [[g.bfloat16() for g in each] for each in ones], lr=PACE)
    moved = float(1 - half.float().mean())
    expect(moved != 0, f"1 is still 1 after {WALK} steps of lr {PACE:g}", f"{1 - way:.3g}, as in float32")
    return f"from 1 to {1 - moved:.4g} in {WALK} steps (float32: {1 - way:.4g})"


@law(THEME, may_refuse=True)
def bfloat16_state_does_not_freeze(s: Subject) -> str:
    """Under a constant gradient of 1 the state of a bfloat16 parameter follows that of a float32 one."""
    found = {}
    for dtype in (torch.float32, torch.bfloat16):
        # Near 0, so that decay adds next to nothing to the gradient of 1.
        p = torch.nn.Parameter(torch.zeros(s.vector(4), dtype=dtype, device="cpu"))
        more = {"lr": 1e-6} if s.has("lr") else {}
        optimizer = s.build([p], **more)
        for _ in range(FREEZE):
            s.step(optimizer, [torch.ones_like(p)])
        found[dtype] = {name: float(value.float().mean()) for name, value in slots(optimizer, p).items()}
    right, half = found[torch.float32], found[torch.bfloat16]
    need(bool(right), "it has no state of the parameter's shape")
    for name, value in right.items():
        now = half.get(name, value)
        if abs(now - value) > APART * abs(value):
            raise BrokenError(f"{name} is {now:.3g} after {FREEZE} steps of 1", f"{value:.3g}, as in float32")
    return f"after {FREEZE} steps of 1: " + ", ".join(f"{name} {half[name]:.3g}" for name in half)


@law(THEME, may_refuse=True)
def small_float16_gradients(s: Subject) -> str:
    """A float16 parameter stays finite under gradients of 1e-4, whose squares float16 does not have."""
    p = torch.nn.Parameter(torch.ones(s.vector(4), dtype=torch.float16, device="cpu"))
    s.run([p], [[torch.full_like(p, 1e-4)]] * 10)
    expect(bool(p.isfinite().all()), f"{p.flatten()[0].item()} after 10 steps", "finite")
    return "10 steps: finite"


@law(THEME)
def default_dtype(s: Subject) -> str:
    """torch.set_default_dtype(float64) changes nothing for a float32 parameter."""
    plain, other = s.params(), s.params()
    drawn = gradients(plain, 4)
    s.run(plain, drawn)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        s.run(other, drawn)
    finally:
        torch.set_default_dtype(before)
    s.near(other, plain, 4)
    return "4 steps: the same to rounding"
