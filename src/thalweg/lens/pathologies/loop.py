"""Mistakes of the loop: gradients that pile up, losses that are not divided, schedules that end early."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, median

from thalweg.lens.finding import Evidence, Finding
from thalweg.lens.record import Record

MOST_TOTAL = 1.5  # examples' worth of gradient a step: a mean has 1
NEAR = 0.3  # of that; rows of a batch that are padded count as none
OVER = 1e-3  # of the peak: a rate that has ended
LEFT = 0.1  # of the steps that came after it


def zero_grad_forgotten(record: Record) -> Finding | None:
    looked = record.added_to_old.values()
    if not looked or fmean(looked) < 0.5:
        return None
    return Finding("zero_grad_forgotten", Evidence.PROOF, {}, step=2)


def loss_not_divided(record: Record) -> Finding | None:
    """Counted at the logits of a cross-entropy: as many examples' worth as there are rows, or backward passes. Another
    number is a weight that the loss has on purpose, or a loss of several terms."""
    if not record.totals:
        return None
    total = median(record.totals.values())
    rows = next(iter(record.outputs.values())).rows
    passes = record.passes
    sums = [1.0 * passes, float(rows), float(rows * passes)]
    if total <= MOST_TOTAL or not any(abs(total / each - 1) < NEAR for each in sums):
        return None
    facts = {"total": total, "passes": record.passes, "rows": rows}
    text = "loss_not_divided.sum" if record.passes == 1 else ""
    return Finding("loss_not_divided", Evidence.PROOF, facts, (), min(record.outputs), text)


def schedule_over(record: Record) -> Finding | None:
    """The rate fell to nothing, and the run went on."""
    rates = record.rates
    peak = max(rates, default=0.0)
    top = rates.index(peak) if rates else 0
    over = next((step for step in range(top, len(rates)) if rates[step] <= OVER * peak), None)
    if peak <= 0 or over is None or len(rates) - over < max(LEFT * len(rates), 5) or _comes_again(rates[over:], peak):
        return None
    facts = {"low": rates[over], "share": rates[over] / peak, "left": len(rates) - over}
    evidence = Evidence.PROOF if rates[-1] == rates[over] else Evidence.RULE_OF_THUMB  # else it may be meant so
    return Finding("schedule_over", evidence, facts, step=over + 1)


def _comes_again(rates: Sequence[float], peak: float) -> bool:
    """Whether a rate that was low is meant to rise: at once, or time and again. A cosine that is stepped past its end
    rises once, and slowly."""
    rises = [step for step in range(1, len(rates)) if rates[step - 1] <= OVER * peak < rates[step]]
    return len(rises) > 1 or any(max(rates[step : step + 3]) > peak / 2 for step in rises)
