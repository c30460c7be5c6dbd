"""Small experiments that tell the known differences apart: each says in words what one optimizer does.

A probe sees only the class: it chooses gradients and settings and looks where the parameter goes.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from thalweg.differences import fraction
from thalweg.differences.contender import Contender, Gradient
from thalweg.differences.fraction import Reading, alike

Probe = Callable[[Contender], str | None]
RATE, DECAY, MOMENTUM = 0.25, 0.125, 0.9  # large, so that what is looked for stands far above rounding
SHAPE = (32, 24)


def start() -> Tensor:
    return _random_tensor(0, normal=True)


def steady(step: int, p: Tensor) -> Tensor:
    """Gradients that keep their sign, of sizes spread over two decades: no running mean comes near 0."""
    size = 10 ** (2 * _random_tensor(-1) - 1)
    return _random_tensor(0, normal=True).sign() * size * (0.5 + _random_tensor(step))


def unit(step: int, p: Tensor) -> Tensor:
    """Gradients of +1 and -1, the same in every step."""
    return _random_tensor(0, normal=True).sign()


def _random_tensor(seed: int, normal: bool = False) -> Tensor:
    generator = torch.Generator().manual_seed(1000 + seed)
    draw = torch.randn if normal else torch.rand
    return draw(SHAPE, generator=generator, dtype=torch.float64, device="cpu")


def quiet(one: Contender, **changes: Any) -> dict[str, Any]:
    """The settings of a probe: its own learning rate where both have one to set, no decay, then the changes."""
    settings: dict[str, Any] = {"lr": RATE} if one.rated else {}
    if one.has("weight_decay"):
        settings["weight_decay"] = 0.0
    return {**settings, **changes}


def first_step(one: Contender) -> str | None:
    """The first step at |g| = 1, in learning rates: tells a missing bias correction and a first accumulator."""
    settings = quiet(one)
    update = one.path(start(), unit, 1, **settings).update(1) * unit(1, start())
    lr = settings.get("lr", 1.0)
    low, high = float(update.min()), float(update.max())
    unit_of = " lr" if "lr" in settings else ""
    if alike(update, torch.full_like(update, high), one.precision):
        return f"{high / lr + 0.0:.4g}{unit_of}"  # + 0.0: no "-0"
    return f"{low / lr:.6g} to {high / lr:.6g}{unit_of}, by element"


def size_of_gradient(one: Contender) -> str:
    """What the step makes of a gradient ten times as large, and from which step on."""
    plain = one.path(start(), steady, fraction.STEP, **quiet(one))
    large = one.path(start(), _ten_times, fraction.STEP, **quiet(one))
    words = [_answer(plain.update(step), large.update(step), one.precision) for step in range(1, fraction.STEP + 1)]
    runs = [(word, len(list(run))) for word, run in groupby(words)]
    if len(runs) == 1:
        return runs[0][0]
    ends = [sum(length for _, length in runs[: index + 1]) for index in range(len(runs))]
    early = [f"{word} up to step {end}" for (word, _), end in zip(runs[:-1], ends[:-1], strict=True)]
    return ", ".join([*early, f"then {runs[-1][0]}"])


def _ten_times(step: int, p: Tensor) -> Tensor:
    return 10 * steady(step, p)


def _answer(plain: Tensor, large: Tensor, precision: float) -> str:
    if not plain.any() and not large.any():
        return "no step at all"
    if alike(large, 10 * plain, precision):
        return "proportional to the gradient"
    # The square root again: a common eps is small beside these gradients, and no difference of this probe.
    if alike(large, plain, precision**0.5):
        return "independent of the gradient's size"
    return "between the two"


def reading(one: Contender) -> Reading | None:
    """Where eps stands, the bias corrections and the first accumulator (see fraction.py)."""
    if not isinstance(one.value("eps"), float) or "lr" not in quiet(one):
        return None
    updates = [
        one.path(start(), steady, fraction.STEP, **quiet(one, eps=eps)).update(fraction.STEP) for eps in fraction.TRIED
    ]
    gradients = [steady(step, start()) for step in range(1, fraction.STEP + 1)]
    return fraction.read(one, updates, gradients, RATE)


def weight_decay(one: Contender) -> str | None:
    """Coupled (added to the gradient) or decoupled (the parameter shrinks by itself), and by what factor.

    The learning rate is halved on the way, so that lr * decay is told from decay alone.
    """
    if not one.has("weight_decay"):
        return None
    rates = {2: RATE / 2} if "lr" in quiet(one) else None
    last = fraction.STEP  # some do not move at all in their first steps
    without = one.path(start(), steady, last, rates, **quiet(one))
    decayed = one.path(start(), steady, last, rates, **quiet(one, weight_decay=DECAY))
    if alike(decayed.points[-1], without.points[-1], one.precision):
        return "without effect"
    by_hand = one.path(start(), lambda step, p: steady(step, p) + DECAY * p, last, rates, **quiet(one))
    words = ["decay coupled"] if alike(decayed.points[-1], by_hand.points[-1], one.precision) else []
    factors: dict[str, Callable[[float], float]] = {
        "decay decoupled, by lr * weight_decay": lambda lr: lr * DECAY,
        "decay decoupled, by weight_decay alone": lambda lr: DECAY,
        "decay decoupled, by weight_decay * lr / first lr": lambda lr: DECAY * lr / RATE,
        "decay decoupled, by weight_decay * lr^2 / first lr": lambda lr: DECAY * lr * lr / RATE,
    }
    for word, factor in factors.items():
        p = start()
        for step in range(1, last + 1):
            p = (1 - factor(RATE if step == 1 else RATE / 2)) * p - without.update(step)
        if alike(decayed.points[-1], p, one.precision):
            words.append(word)
    return " = ".join(words) or "neither added to the gradient nor a plain shrinking of the parameter"


def change_of_rate(one: Contender) -> str | None:
    """Double lr before a step: does it act on the whole step, or only on what is new in it?"""
    if "lr" not in quiet(one):
        return None
    settings = quiet(one, momentum=MOMENTUM) if one.has("momentum") else quiet(one)
    last = 5
    before = one.path(start(), steady, last + 1, **settings)
    after = one.path(start(), steady, last + 1, {last: 2 * RATE}, **settings)
    old, new, previous = before.update(last), after.update(last), before.update(last - 1)
    given = f" (momentum {MOMENTUM})" if one.has("momentum") else ""
    if alike(new, 2 * old, one.precision):
        return "lr multiplies the whole step" + given
    if alike(new, old, one.precision):
        late = not alike(after.update(last + 1), before.update(last + 1), one.precision)
        return ("lr acts one step late" if late else "lr without effect") + given
    kept = (2 * old - new) / previous
    if alike(kept, torch.full_like(kept, float(kept.median())), one.precision):
        return "lr inside the buffer: acts on new gradients only" + given
    return "lr enters the state" + given


def impulse(one: Contender) -> str | None:
    """The steps after one gradient and then none: the form of the momentum, where the step is linear."""
    settings = quiet(one, momentum=MOMENTUM) if one.has("momentum") else quiet(one)
    if "lr" not in settings:
        return None
    last = fraction.STEP
    plain, large = (one.path(start(), each, last, **settings).update(last) for each in (steady, _ten_times))
    if not alike(large, 10 * plain, one.precision):
        return None
    path = one.path(start(), lambda step, p: unit(step, p) if step == 1 else torch.zeros_like(p), 4, **settings)
    answers = [(path.update(step) * unit(1, start()) / RATE) for step in range(1, 5)]
    if not all(alike(each, torch.full_like(each, float(each.median())), one.precision) for each in answers):
        return None
    numbers = ", ".join(f"{float(each.median()):.4g}" for each in answers)
    forms = {
        f"{1:.4g}, 0, 0, 0": "no momentum",
        _numbers(1, MOMENTUM, MOMENTUM**2, MOMENTUM**3): "heavy ball",
        _numbers(1 + MOMENTUM, MOMENTUM**2, MOMENTUM**3, MOMENTUM**4): "Nesterov",
        _numbers(*((1 - MOMENTUM) * MOMENTUM**k for k in range(4))): "running mean",
    }
    return f"{forms.get(numbers, 'a form of its own')}: a lone gradient of 1 is answered by {numbers} lr"


def _numbers(*values: float) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


def maximize(one: Contender) -> str | None:
    """Is `maximize` the step of the negated gradient?"""
    if not one.has("maximize"):
        return None
    climbed = one.path(start(), steady, 3, **quiet(one, maximize=True)).points[-1]
    negated: Gradient = lambda step, p: -steady(step, p)  # noqa: E731
    return (
        "as the negated gradient"
        if alike(climbed, one.path(start(), negated, 3, **quiet(one)).points[-1], one.precision)
        else "not as the negated gradient"
    )


def preserving_gradients(one: Contender) -> str:
    """Are p.grad's values, which belong to the user, left as they were?"""
    tried: list[dict[str, Any]] = [{}]
    tried += [{"weight_decay": DECAY}] if one.has("weight_decay") else []
    tried += [{"maximize": True}] if one.has("maximize") else []
    changed = [
        next(iter(changes), "any step")
        for changes in tried
        if not one.path(start(), steady, 2, **quiet(one, **changes)).intact
    ]
    return f"overwritten ({', '.join(changed)})" if changed else "left as they were"


def elements(one: Contender) -> str:
    """Does the gradient of one element reach the steps of the others: norms, clipping, factored moments?"""

    def louder(step: int, p: Tensor) -> Tensor:
        g = steady(step, p)
        g[0, 0] *= 1000
        return g

    plain = one.path(start(), steady, 3, **quiet(one)).points[-1]
    loud = one.path(start(), louder, 3, **quiet(one)).points[-1]
    rest = torch.ones(SHAPE, dtype=torch.bool, device="cpu")
    rest[0, 0] = False
    return "each by itself" if alike(loud[rest], plain[rest], one.precision) else "act on one another"


def size_of_parameter(one: Contender) -> str:
    """Does the same gradient move a larger parameter further (LAMB, Adafactor)?"""
    small = one.path(start(), steady, 1, **quiet(one)).update(1)
    large = one.path(4 * start(), steady, 1, **quiet(one)).update(1)
    if alike(large, small, one.precision):
        return "without effect on the step"
    return "multiplies the step" if alike(large, 4 * small, one.precision) else "enters the step"


def precision(one: Contender) -> str:
    """Is a float64 parameter stepped in float64?"""
    return "float64" if one.precision < 1e-12 else "rounded to float32"


PROBES: dict[str, Probe] = {
    "first step at |g| = 1": first_step,
    "size of the gradient": size_of_gradient,
    "weight_decay": weight_decay,
    "change of lr": change_of_rate,
    "momentum": impulse,
    "maximize": maximize,
    "p.grad after the step": preserving_gradients,
    "elements": elements,
    "size of the parameter": size_of_parameter,
    "arithmetic": precision,
}
