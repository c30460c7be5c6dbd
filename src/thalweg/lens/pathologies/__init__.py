"""What can be wrong with a run, each as a function of its record; the cause before its symptoms."""

from __future__ import annotations

from thalweg.lens.finding import MOST, Finding
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
    settings.decay_too_strong,
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
LEADS_TO_NAN = ("exploding_gradients", "lr_too_high")
SCALES = ("inputs_not_normalized", "loss_not_divided")  # of which large gradients and steps are symptoms
NOT_AFTER = {  # what contradicts a finding, or explains it
    "decay_on_norms": ("decay_too_strong",),
    "exploding_gradients": SCALES,
    "lr_too_low": ("lr_too_high", "no_warm_up", "decay_too_strong"),
    "lr_too_high": ("lr_too_low", *SCALES),
    "no_warm_up": ("lr_too_low", *SCALES),
}


def diagnose(record: Record) -> list[Finding]:
    """What is wrong with a run, in that order: the first few, without what these contradict or explain.

    What comes after gradients stopped being finite says nothing, and is not looked at; what led there is named first.
    """
    bad = record.not_finite
    sound = record if bad is None or bad.text == "loss" else record.until(bad.since - 1)
    looks = ORDER if sound.tensors else (units.not_finite,)
    found: dict[str, Finding] = {}
    for look in looks:
        finding = look(sound)
        if finding is not None and not found.keys() & {finding.name, *NOT_AFTER.get(finding.name, ())}:
            found[finding.name] = finding
    led = LEADS_TO_NAN if bad is not None else ()
    return sorted(found.values(), key=lambda each: each.name not in led)[:MOST]
