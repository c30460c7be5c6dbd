"""What can be wrong with a run, each as a function of its record; the cause before its symptoms."""

from __future__ import annotations

from thalweg.lens.finding import Finding
from thalweg.lens.pathologies import data, gradients, loop, rate, settings, units
from thalweg.lens.record import Record

ORDER = (
    loop.zero_grad_forgotten,
    units.never_moves,
    units.not_finite,
    units.lost_to_rounding,
    loop.loss_not_divided,
    data.not_shuffled,
    data.batch_too_small,
    settings.eps,
    settings.beta2_too_short,
    settings.decay_on_norms,
    loop.schedule_over,
    data.inputs_not_normalized,
    gradients.vanishing,
    rate.hardly_moves,
    units.dead,
    gradients.exploding,
    data.logits_drifting,
    settings.beta2_too_long,
    rate.no_warm_up,
    rate.too_high,
    data.label_noise,
    rate.too_low,
)


def diagnose(record: Record) -> list[Finding]:
    """All findings of a run, in that order, each once."""
    if not record.tensors:
        return []
    found = [finding for look in ORDER if (finding := look(record)) is not None]
    return list({finding.name: finding for finding in reversed(found)}.values())[::-1]
