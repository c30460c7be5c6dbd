r"""AMSGrad: Adam whose denominator never shrinks.

m_t, v_t as in Adam,   u_t = max(u_{t-1}, v_t)
theta_t = theta_{t-1} - eta m_hat_t / (sqrt(u_t / (1 - beta2^t)) + eps)
"""

from dataclasses import replace

from thalweg.rule.words import maximum, sqrt
from thalweg.rules.adam import adam


def per_element(p, g, m, v, u, *, beta1, beta2, eps, alpha, root):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    u = maximum(u, v)
    p = p - alpha * m / (root * sqrt(u) + eps)
    return p, m, v, u


amsgrad = replace(
    adam,
    name="amsgrad",
    title="AMSGrad: Adam whose denominator never shrinks",
    source="Reddi, Kale and Kumar 2018, ICLR, arXiv:1904.09237",
    per_element=per_element,
    torch_names={"m": "exp_avg", "v": "exp_avg_sq", "u": "max_exp_avg_sq"},
    moments={"m": "signed", "v": "unsigned", "u": "unsigned"},
    when=("amsgrad",),
    departures="The maximum is taken of the raw v and then bias-corrected, as in torch; the paper corrects no bias.",
)
