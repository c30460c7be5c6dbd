r"""LAMB: Adam whose step is as long, in every tensor, as the tensor itself is large.

m_t, v_t as in Adam,   u_t = m_hat_t / (sqrt(v_hat_t) + eps) + lambda theta_{t-1}
theta_t = theta_{t-1} - eta (|theta_{t-1}| / |u_t|) u_t                   the ratio is 1 where a norm is 0
"""

from typing import Annotated

from thalweg.rule.definition import Rule
from thalweg.rule.hyperparameters import Betas, Decay, Epsilon, Rate, Search
from thalweg.rule.words import sqrt
from thalweg.rules.lars import norm, unless_zero


def per_step(
    step,
    *,
    lr: Annotated[Rate, Search(1e-4, 1e-1)] = 1e-3,
    betas: Betas = (0.9, 0.999),
    eps: Epsilon = 1e-6,
    weight_decay: Decay = 0.0,
):
    beta1, beta2 = betas
    return {
        "eta": lr,
        "beta1": beta1,
        "beta2": beta2,
        "eps": eps,
        "decay": weight_decay,
        "unbias": 1 / (1 - beta1**step),
        "root": 1 / (1 - beta2**step) ** 0.5,
    }


def per_tensor(p, g, state, *, beta1, beta2, eps, decay, unbias, root):
    m = beta1 * state["m"] + (1 - beta1) * g
    v = beta2 * state["v"] + (1 - beta2) * g * g
    u = unbias * m / (root * sqrt(v) + eps) + decay * p
    size, length = norm(p), norm(u)
    return {"trust": unless_zero(size / length, size, length)}


def per_element(p, g, m, v, *, eta, beta1, beta2, eps, decay, unbias, root, trust):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    u = unbias * m / (root * sqrt(v) + eps) + decay * p
    p = p - eta * trust * u
    return p, m, v


lamb = Rule(
    name="lamb",
    title="LAMB: Adam scaled, tensor by tensor, to the size of what it moves",
    source="You et al. 2019, arXiv:1904.00962, Algorithm 2",
    per_step=per_step,
    per_tensor=per_tensor,
    per_element=per_element,
    measures=("trust",),
    torch_names={"m": "exp_avg", "v": "exp_avg_sq"},
    moments={"m": "signed", "v": "unsigned"},
    decay="own",
    departures="phi(z) = z, no bounds on the ratio; bias-corrected, as from the paper's third version on. Biases are "
    "scaled as any tensor is: step them with AdamW where they are not to be. The decay is the rule's own, in the norm.",
)
