"""Read a step's numerator and denominator off its answer to eps.

Where a step is u = N / (D + eps), 1 / u is a straight line in eps; where it is N / sqrt(D^2 + eps), 1 / u^2 is. Three
values of eps tell which, and give N and D themselves, element by element. Held against the running means of the
gradients that were fed, they tell where eps stands, which bias corrections are made and where the accumulator starts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from thalweg.differences.contender import Contender

STEP = 20  # late enough for RAdam's rectification, and for 1 - beta^t to be neither 0 nor 1
TRIED = (0.25, 0.5, 0.75)  # values of eps, equally far apart


@dataclass
class Fraction:
    """A step's numerator and the square of its denominator, and where eps stands."""

    inside: bool
    numerator: Tensor
    square: Tensor


def alike(x: Tensor, y: Tensor, precision: float) -> bool:
    """Equal in half of the digits: rounding never moves as many, and another formula moves more."""
    return bool((x - y).abs().max() <= math.sqrt(precision) * y.abs().max())


def take_apart(updates: list[Tensor], precision: float) -> Fraction | None:
    """The fraction of which these are the values at `TRIED`; None where it is neither of the two."""
    first, second, third = updates
    if alike(first, third, precision):
        return None
    width = TRIED[2] - TRIED[0]
    for inside in (False, True):
        a, b, c = (u * u if inside else u for u in (first, second, third))
        if alike(b * (a + c), 2 * a * c, precision):
            top = width * a * c / (a - c)
            bottom = top / a - TRIED[0]
            return Fraction(True, first.sign() * top.sqrt(), bottom) if inside else Fraction(False, top, bottom**2)
    return None


@dataclass
class Reading:
    """What the fraction says, in words; None for what it does not tell."""

    eps: str
    correction: str | None
    start: str | None


def read(one: Contender, updates: list[Tensor], gradients: list[Tensor], lr: float) -> Reading:
    """Name what the updates at `TRIED` are made of."""
    if alike(updates[0], updates[2], one.precision):
        return Reading("without effect on the step", None, None)
    fraction = take_apart(updates, one.precision)
    if fraction is None:
        return Reading("neither a plain addend outside the root nor one inside it", None, None)
    place = "inside the root" if fraction.inside else "outside the root"
    decays = _decays(one)
    if decays is None:
        return Reading(place, None, _sum_start(fraction, gradients, one.precision))
    return _read_moments(one, fraction, place, _Moments.of(gradients, *decays), lr)


@dataclass
class _Moments:
    """The running means of the gradients and of their squares, from 0, and what each falls short by at first."""

    mean: Tensor
    square: Tensor
    unbias1: float
    unbias2: float
    kept: float  # of what the accumulator started from

    @classmethod
    def of(cls, gradients: list[Tensor], beta1: float, beta2: float) -> _Moments:
        mean, square = torch.zeros_like(gradients[0]), torch.zeros_like(gradients[0])
        for g in gradients:
            mean, square = beta1 * mean + (1 - beta1) * g, beta2 * square + (1 - beta2) * g * g
        steps = len(gradients)
        return cls(mean, square, 1 - beta1**steps, 1 - beta2**steps, beta2**steps)

    def forms(self, after: bool) -> dict[str, Tensor]:
        """The numerators of the known bias corrections, for a denominator that is corrected itself or is not."""
        factor = 1.0 if after else math.sqrt(self.unbias2)
        forms = {"of the mean square": self.mean * factor} | ({} if after else {"no bias correction": self.mean})
        if self.unbias1 < 1:
            forms["of both moments"] = self.mean / self.unbias1 * factor
            forms |= {} if after else {"of the mean": self.mean / self.unbias1}
        return forms


def _read_moments(one: Contender, fraction: Fraction, place: str, moments: _Moments, lr: float) -> Reading:
    plain = _level(fraction.square, moments.square, one.precision)
    corrected = _level(fraction.square, moments.square / moments.unbias2, one.precision)
    level = plain if corrected is None else corrected * moments.unbias2
    if level is None:
        return Reading(place, None, None)
    forms = moments.forms(after=corrected is not None)
    found = next((word for word, form in forms.items() if alike(fraction.numerator, lr * form, one.precision)), None)
    if corrected is not None:
        place += ", after the bias correction"
    elif found in ("of both moments", "of the mean square"):
        place += ", before the bias correction"
    correction = found or _proportion(fraction.numerator, lr * moments.mean, one.precision)
    return Reading(place, correction, f"{level / moments.kept:.6g}")


def _proportion(numerator: Tensor, mean: Tensor, precision: float) -> str:
    """A form of its own: a multiple of the running mean (RAdam's, rectified), or something else."""
    ratio = numerator / mean
    middle = float(ratio.median())
    if alike(ratio, torch.full_like(ratio, middle), precision):
        return f"a form of its own: {middle:.3g} times the plain running mean at step {STEP}"
    return "a form of its own: the numerator is not the running mean"


def _decays(one: Contender) -> tuple[float, float] | None:
    """beta1 (0 where there is no mean) and beta2, by the names they go under."""
    betas = one.value("betas")
    if isinstance(betas, (tuple, list)):
        return (float(betas[0]), float(betas[1])) if len(betas) == 2 and None not in betas else None
    for name in ("alpha", "rho"):
        if isinstance(one.value(name), float):
            return 0.0, float(one.value(name))
    return None


def _sum_start(fraction: Fraction, gradients: list[Tensor], precision: float) -> str | None:
    """Adagrad's accumulator: what is more in it than the sum of squares, if that is what it is."""
    level = _level(fraction.square, torch.stack([g * g for g in gradients]).sum(0), precision)
    return None if level is None else f"{level:.6g}"


def _level(square: Tensor, expected: Tensor, precision: float) -> float | None:
    """What is more in the accumulator than was to be expected, if that is one number for all elements."""
    more = float((square - expected).median())
    resolved = math.sqrt(precision) * float(square.max())
    if not alike(square, expected + more, precision):
        return None
    return 0.0 if abs(more) <= resolved else more
