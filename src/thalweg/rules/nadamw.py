r"""NAdamW: Nesterov's look-ahead with a constant momentum, and decoupled decay.

m_t, v_t as in Adam,   n_t = beta1 m_t + (1 - beta1) g_t
theta_t = (1 - eta lambda) theta_{t-1} - eta n_t / (1 - beta1^t) / (sqrt(v_hat_t) + eps)
"""

from dataclasses import replace

from thalweg.rule.words import sqrt
from thalweg.rules.adam import adam


def per_element(p, g, m, v, *, beta1, beta2, eps, alpha, root):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    n = beta1 * m + (1 - beta1) * g
    p = p - alpha * n / (root * sqrt(v) + eps)
    return p, m, v


nadamw = replace(
    adam,
    name="nadamw",
    title="NAdamW: Nesterov's look-ahead with a constant momentum, and decoupled decay",
    source="Dozat 2016, ICLR workshop; this form: Choi et al. 2019, arXiv:1910.05446, and AlgoPerf, arXiv:2306.07179",
    per_element=per_element,
    departures="Both momenta are corrected by 1 - beta1^t, as in AlgoPerf; torch's NAdam has Dozat's growing momentum.",
    decay="decoupled",
    weight_decay=1e-2,
)
