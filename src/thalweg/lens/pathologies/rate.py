"""The learning rate: too high, too low, at its full height too soon."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, median

import numpy as np

from thalweg.lens.finding import Evidence, Finding
from thalweg.lens.record import Record

TOO_LOW = -0.23  # cosine of the gradient with the step before it, over the second half; sound -0.16, planted -0.33
LEAST = 4  # watched steps in the second half
SOLVED = 0.1  # of the first loss: all are told apart, and each step only makes that surer
FALLS = 0.85  # of the loss half way: it falls well; planted runs had 0.98
ROSE = 1.5  # times the first loss, within the first steps
FIRST = 24
BLOWN_UP = 4.0  # times the first loss
FELT = 0.05  # a step over the weights: a loss does not rise by shorter ones; sound runs whose aim moves had at most
# 0.026, planted 4.7 and more
SURE = 5.0  # standard errors of a mean between the best of several and the last
LONG = 0.45  # a step over the weights; sound runs had at most 0.36 at the start, planted 0.56 and more
AWAY = 1.5  # times the best: a loss that rises though steps are too short is of something else by now
FLAT, SHORT = 0.95, 0.15  # of the first loss; all steps over the weights: sound runs had at least 1.5, planted 0.08


def too_low(record: Record) -> Finding | None:
    cosines = _late_cosines(record)
    if record.steps < 48 or len(cosines) < LEAST or not (cosine := fmean(cosines)) < TOO_LOW or record.contested:
        return None
    losses = [loss for _, loss in record.curve()]
    if len(losses) >= 16:
        means = [fmean(losses[at : at + 8]) for at in range(len(losses) - 7)]
        falls = means[-1] < max(SOLVED * losses[0], FALLS * fmean(_middle(losses)))
        if falls or means[-1] > AWAY * min(means):
            return None
    lr = max(record.rates)
    facts = {"cosine": cosine, "steps": record.steps - record.steps // 2, "lr": lr, "better": 3 * lr}
    return Finding("lr_too_low", Evidence.RULE_OF_THUMB, facts, step=record.steps // 2)


def hardly_moves(record: Record) -> Finding | None:
    """The loss stands where it began, and all steps together are a small part of the weights.

    Where a gradient points back against the step before it, steps are not too short: the run has learned all it can.
    """
    losses = [loss for _, loss in record.curve()]
    if record.steps < 48 or len(losses) < 16 or not max(record.rates) > 0:
        return None
    ratio = fmean(losses[-8:]) / fmean(losses[:5])
    way = fmean(_update_ratio(record, step) for step in record.tensors) * record.steps
    cosines = _late_cosines(record)
    if not (FLAT <= ratio <= 1.1 and way < SHORT) or (cosines and fmean(cosines) > 0):
        return None
    lr = max(record.rates)
    facts = {"loss": fmean(losses[-8:]), "first": fmean(losses[:5]), "way": way, "lr": lr, "better": 10 * lr}
    return Finding("lr_too_low", Evidence.RULE_OF_THUMB, facts, (), record.steps, "lr_too_low.hardly_moves")


def too_high(record: Record) -> Finding | None:
    """The loss is no better than guessing, or far above its own best, and steps were long enough to bring that about.

    Where all were short, what the loss is of has changed: a GAN's other half, the targets of Q-learning, a curriculum.
    """
    if max((_update_ratio(record, step) for step, row in record.tensors.items() if row), default=math.inf) < FELT:
        return None
    curve = [loss for _, loss in record.curve()]
    if len(curve) < 20:
        return _blown_up(record, curve)
    width = max(5, len(curve) // 20)
    if min(curve) < 0:  # of a critic, or a likelihood: what it starts at says nothing
        return None
    windows = [curve[at : at + width] for at in range(0, len(curve) - width + 1, width)]
    means = [fmean(window) for window in windows]
    late, best = median(means[-3:]), min(means)
    with np.errstate(invalid="ignore"):
        noise = median(float(np.std(window, ddof=1)) for window in windows) / width**0.5
    floor = next((each.floor for each in record.outputs.values()), curve[0])
    stuck = late > max(floor, 0.95 * curve[0]) and max(curve) > 1.2 * max(curve[0], floor)
    fell_back = late > 2 * min(means[:-3]) and late > 0.5 * curve[0]  # a best that comes later is a loss that falls
    fell_back = fell_back and not late - best < SURE * noise
    if not (stuck or fell_back or not math.isfinite(late)):
        return None
    lr = max(record.rates)
    facts = {"loss": late, "best": best, "floor": floor, "lr": lr, "better": lr / 10}
    text = "" if record.outputs else "lr_too_high.no_classes"
    return Finding("lr_too_high", Evidence.RULE_OF_THUMB, facts, (), record.curve()[-1][0], text)


def _blown_up(record: Record, curve: list[float]) -> Finding | None:
    """Within a few steps, before there is a course to judge."""
    if len(curve) < 2 or curve[-1] <= BLOWN_UP * abs(curve[0]) or not max(record.rates) > 0:
        return None
    lr = max(record.rates)
    facts = {"loss": curve[-1], "best": min(curve), "floor": curve[0], "lr": lr, "better": lr / 10}
    return Finding("lr_too_high", Evidence.RULE_OF_THUMB, facts, (), record.curve()[-1][0], "lr_too_high.at_once")


def no_warm_up(record: Record) -> Finding | None:
    """The first steps were long and the loss rose, at the full rate; it came down later: the rate came too soon."""
    curve = record.curve()
    if (
        record.resumed
        or record.reevaluated
        or record.steps < 48
        or not record.losses
        or record.rates[0] < 0.9 * max(record.rates)
    ):
        return None
    first = curve[0][1]
    early = [(step, loss) for step, loss in curve[1:] if step <= FIRST]
    if not early or not fmean(loss for _, loss in curve[-8:]) < 0.8 * first:
        return None
    at, top = max(early, key=lambda pair: pair[1])
    share = max(_update_ratio(record, step) for step in (1, 2) if step in record.tensors)
    if not ((top > ROSE * first and share > FELT) or (share > LONG and top > first)):
        return None
    facts = {"first": first, "top": top, "steps": at, "share": share, "warm": max(10, record.steps // 10)}
    return Finding("no_warm_up", Evidence.RULE_OF_THUMB, facts, step=at)


def _middle(losses: Sequence[float]) -> Sequence[float]:
    half = len(losses) // 2
    return losses[half - 4 : half + 4]


def _late_cosines(record: Record) -> list[float]:
    """Of the second half, where the rate is not low on purpose; of steps that are not taken along the gradient none."""
    late = [step for step in record.look_back if step > record.steps / 2 and record.rate_is_high(step)]
    return [] if record.reevaluated else [record.look_back[step] for step in late]


def _update_ratio(record: Record, step: int) -> float:
    """Norm of a step over the norm of the weights, of the whole model."""
    weight = record.sum(step, "weight")
    return float((record.sum(step, "step") / weight) ** 0.5) if weight > 0 else 0.0
