r"""AdamW: Adam with the weight decay taken out of the gradient.

theta <- (1 - eta lambda) theta_{t-1},   then Adam's step with the gradient untouched
"""

from dataclasses import replace

from thalweg.rules.adam import adam
from thalweg.rules.amsgrad import amsgrad

SOURCE = "Loshchilov and Hutter 2017, arXiv:1711.05101"
DEPARTURES = "The decay is eta * lambda, as in torch; the paper's schedule multiplier is the scheduler's work here."

adamw = replace(
    adam,
    name="adamw",
    title="AdamW: Adam with decoupled weight decay",
    source=SOURCE,
    departures=DEPARTURES,
    decay="decoupled",
    weight_decay=1e-2,
)
adamw_amsgrad = replace(
    amsgrad,
    name="adamw_amsgrad",
    title="AMSGrad with decoupled weight decay",
    source=f"{amsgrad.source}; decay: {SOURCE}",
    decay="decoupled",
    weight_decay=1e-2,
)
