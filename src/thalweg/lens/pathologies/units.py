"""What has no gradient, no finite one, or none that the weights can hold."""

from __future__ import annotations

from statistics import median

from thalweg.lens.finding import Evidence, Finding
from thalweg.lens.record import Record

DEAD = 0.3  # of a layer's units
ASLEEP = 0.45  # the same in the first steps: a sound LSTM's head had 0.31 for 72 steps, which then woke
LONG = 150
LOST = 0.6  # of the steps
CONVERGED = 1e-3  # the last gradients over the largest
REASONS = ("no_group", "no_gradient", "zero_gradient", "frozen")


def never_moves(record: Record) -> Finding | None:
    """One finding for the most serious reason. What is frozen and in the optimizer is there by mistake."""
    for reason in REASONS:
        names = tuple(name for name, why in record.never.items() if why == reason)
        if names and record.steps >= 3:
            share = sum(record.sizes[name] for name in names) / max(sum(record.sizes.values()), 1)
            facts = {"count": len(names), "share": share}
            return Finding("layer_never_moves", Evidence.PROOF, facts, names, 1, f"layer_never_moves.{reason}")
    return None


def not_finite(record: Record) -> Finding | None:
    """The step, and the tensors, in the order in which a backward pass comes to them: the first spread to others."""
    bad = record.not_finite
    if bad is None:
        return None
    first = bad.names[0] if bad.names else ""
    facts: dict[str, float | int | str] = {
        "tensors": len(bad.names),
        "of": bad.of,
        "since": bad.since,
        "last": bad.step,
        "first": first,
    }
    text = bad.text if bad.since == bad.step else "between"
    step = bad.step if bad.since == bad.step else None
    return Finding("not_finite", Evidence.PROOF, facts, bad.names, step, f"not_finite.{text}")


def dead(record: Record) -> Finding | None:
    """Rows of a weight without any gradient in all watched steps, whose bias has none either."""
    if record.steps < 10:
        return None
    found = {}
    share = DEAD if record.steps >= LONG else ASLEEP
    for name, (rows, of) in record.dead.items():
        bias = record.dead.get(name.removesuffix("weight") + "bias")
        if name.endswith("weight") and bias is not None and min(rows, bias[0]) >= max(2, share * of):
            found[name] = (rows, of)
    if not found:
        return None
    count, units = (sum(pair[i] for pair in found.values()) for i in (0, 1))
    facts = {"dead": count, "units": units, "share": count / units}
    return Finding("dead_units", Evidence.PROOF, facts, tuple(found), 10)


def lost_to_rounding(record: Record) -> Finding | None:
    if record.reevaluated:
        return None
    late = [step for step in record.tensors if step > record.steps / 4] or list(record.tensors)
    shares = [record.mean(step, "lost") for step in late if record.rate_is_high(step)]
    if len(shares) < 3 or not (share := median(shares)) >= LOST:
        return None
    gradients = [record.sum(step, "gradient") for step in record.tensors]
    if max(gradients[-3:]) < CONVERGED**2 * max(gradients):  # at a minimum nothing is left to be lost
        return None
    return Finding("lost_to_rounding", Evidence.PROOF, {"share": share, "dtype": record.dtypes}, step=late[0])
