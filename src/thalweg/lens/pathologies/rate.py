"""The learning rate: too high, too low, at its full height too soon."""

from __future__ import annotations

import math
from statistics import fmean, median

from thalweg.lens.finding import Evidence, Finding
from thalweg.lens.record import Record

TOO_LOW = -0.2  # cosine of the gradient with the step before it, over the second half
LEAST = 4  # watched steps in the second half
ROSE = 1.5  # times the first loss, within the first steps
FIRST = 24


def too_low(record: Record) -> Finding | None:
    cosines = [cosine for step, cosine in record.look_back.items() if step > record.steps / 2]
    if record.steps < 48 or len(cosines) < LEAST or not (cosine := fmean(cosines)) < TOO_LOW:
        return None
    lr = max(record.rates)
    facts = {"cosine": cosine, "steps": record.steps - record.steps // 2, "lr": lr, "better": 3 * lr}
    return Finding("lr_too_low", Evidence.RULE_OF_THUMB, facts, step=record.steps // 2)


def too_high(record: Record) -> Finding | None:
    """The loss is no better than guessing, or far above its own best."""
    curve = [loss for _, loss in record.curve()]
    if len(curve) < 20:
        return None
    width = max(5, len(curve) // 20)
    means = [fmean(curve[at : at + width]) for at in range(0, len(curve) - width + 1, width)]
    late, best = median(means[-3:]), min(means)
    classes = next((each.classes for each in record.outputs.values()), None)
    floor = math.log(classes) if classes else curve[0]
    stuck = late > max(floor, 0.95 * curve[0]) and max(curve) > 1.2 * max(curve[0], floor)
    fell_back = late > 2 * best and late > 0.5 * curve[0]
    if not (stuck or fell_back or not math.isfinite(late)):
        return None
    lr = max(record.rates)
    facts = {"loss": late, "best": best, "floor": floor, "lr": lr, "better": lr / 10}
    return Finding("lr_too_high", Evidence.RULE_OF_THUMB, facts, step=record.curve()[-1][0])


def no_warm_up(record: Record) -> Finding | None:
    """The loss rose at once, at the full rate, and came down later: the rate was right, but not yet."""
    curve = record.curve()
    if len(curve) < 2 * FIRST or record.rates[0] < 0.9 * max(record.rates):
        return None
    first, early, late = curve[0][1], curve[1:FIRST], [loss for _, loss in curve[-10:]]
    top = max(loss for _, loss in early)
    if top < ROSE * first or not fmean(late) < 0.8 * first:
        return None
    at = next(step for step, loss in early if loss == top)
    facts = {"first": first, "top": top, "steps": at, "warm": max(10, record.steps // 10)}
    return Finding("no_warm_up", Evidence.RULE_OF_THUMB, facts, step=at)
