r"""Adafactor: of a matrix's second moments only the means of its rows and of its columns are kept.

R_t = (1 - f_t) R_{t-1} + f_t mean_columns(G_t^2),   f_t = t^beta2_decay
C_t = (1 - f_t) C_{t-1} + f_t mean_rows(G_t^2)
V_t = R_t C_t / mean(R_t)                                        of a vector, V_t = (1 - f_t) V_{t-1} + f_t G_t^2
U_t = G_t / sqrt(max(V_t, eps_1^2)),   a_t = max(eps_2, RMS(theta_{t-1})) min(eta, 1 / sqrt(t))
theta_t = (1 - eta lambda) theta_{t-1} - a_t U_t / max(1, RMS(U_t) / d)          with beta1, the running mean of this

With add_eps the place of eps_1 is the paper's: it is added to G_t^2, and 1e-30 by default. relative_step=False leaves
1 / sqrt(t) out, scale_parameter=False the size of theta; warmup_init begins with a rate of 1e-6 t.
"""

from dataclasses import replace
from typing import Annotated

import torch

from thalweg.rule.definition import Rule
from thalweg.rule.hyperparameters import Decay, Rate, Search, Switch, Valid
from thalweg.rules.lars import TINY, norm

BetaDecay = Annotated[float, Valid("beta2_decay should be <= 0", low=-torch.inf, high=0.0)]
Epsilons = Annotated[tuple[float | None, float], Valid("epsilon{} should be >= 0", count=2, none_at=(0,))]
Threshold = Annotated[float, Valid("Clipping threshold d should be >= 1", low=1.0)]
TOGETHER = 16384  # numbers: of larger tensors one is as quick as its part of a stack
Beta1 = Annotated[float, Valid("Invalid beta1 value", high=1.0, open_above=True)]


def per_step(
    step,
    *,
    lr: Annotated[Rate, Search(1e-4, 1e-1)] = 1e-2,
    beta2_decay: BetaDecay = -0.8,
    eps: Epsilons = (None, 1e-3),
    d: Threshold = 1.0,
    weight_decay: Decay = 0.0,
    relative_step: Switch = True,
    scale_parameter: Switch = True,
    warmup_init: Switch = False,
    add_eps: Switch = False,
):
    most = min(lr, 1e-6 * step) if warmup_init else lr
    return {
        "rate": min(most, step**-0.5) if relative_step else lr,
        "fresh": step**beta2_decay,
        "eps": eps,
        "add": add_eps,
        "d": d,
        "scale": scale_parameter,
        "keep": 1 - lr * weight_decay,
    }


def per_tensor(ps, gs, states, *, rate, fresh, eps, add, d, scale):
    return {"g": directions(ps, gs, states, (rate, fresh, eps, add, d, scale))}


def directions(ps, gs, states, settings):
    """What is taken off parameters of one shape: of small ones all at once."""
    numbers = ps[0].numel()
    if not numbers:
        return gs
    settings = (ps[0].dim() > 1, numbers**0.5, *settings)
    if len(ps) == 1 or numbers > TOGETHER:
        return [direction(*own, norm, *settings) for own in zip(ps, gs, states, strict=True)]
    kept = {letter: torch.stack([state[letter] for state in states]) for letter in states[0]}
    made = direction(torch.stack(ps), torch.stack(gs), kept, norms, *settings)
    for letter, new in kept.items():
        torch._foreach_copy_([state[letter] for state in states], new.unbind())
    return made.unbind()


def direction(p, g, state, norm_of, factored, root, rate, fresh, eps, add, d, scale):
    """What is taken off a parameter, or off each of a stack."""
    tiny, least = eps
    if tiny is None:
        tiny = 1e-30 if add else torch.finfo(p.dtype).eps
    added = tiny if add else 0.0
    if factored:
        rows = state["rows"].lerp_(mean_square(g, -1) + added, fresh)
        columns = state["columns"].lerp_(mean_square(g, -2) + added, fresh)
        v = (rows / rows.mean(dim=-2, keepdim=True).clamp(min=tiny)) @ columns
    else:
        v = state["whole"].lerp_(g * g + added, fresh).clone()
    lowest = torch.finfo(p.dtype).tiny if add else tiny * tiny  # with eps_1 in it, V is above 0 but for its rounding
    u = v.clamp_(min=lowest).rsqrt_().mul_(g)
    size = (norm_of(p) / root).clamp(min=least) if scale else 1.0
    return u.mul_(rate * size / (norm_of(u) / (root * d)).clamp(min=1.0))


def norms(t):
    """The norm of each, as the factor of each."""
    found = torch.linalg.vector_norm(t.flatten(1), dim=1)
    if not (t.is_cpu and bool(((found > TINY) & (found < torch.inf) | found.isnan()).all())):
        found = torch.stack(list(map(norm, t))).to(t.dtype)
    return found.reshape(-1, *[1] * (t.dim() - 1))


def mean_square(g, axis):
    """Over an axis. torch's norm over rows reads against the order of memory (1024 x 2048: 17 ms; squares take 1.3)."""
    if axis == -1:
        return torch.linalg.vector_norm(g, dim=axis, keepdim=True).square_() / g.shape[axis]
    return g.square().mean(dim=axis, keepdim=True)


def per_element(p, g, *, keep):
    p = keep * p - g
    return p


def first_rows(p, settings):
    return p.new_zeros((*p.shape[:-1], 1)) if p.dim() > 1 else None


def first_columns(p, settings):
    return p.new_zeros((*p.shape[:-2], 1, p.shape[-1])) if p.dim() > 1 else None


def first_whole(p, settings):
    return torch.zeros_like(p) if p.dim() < 2 else None


def check(settings):
    """A rate that grows from 1e-6 is a relative one."""
    if settings["warmup_init"] and not settings["relative_step"]:
        raise ValueError(
            "warmup_init=True with relative_step=False: a warm-up is of the relative step; allowed is False"
        )


adafactor = Rule(
    name="adafactor",
    title="Adafactor: second moments of rows and columns",
    source="Shazeer and Stern 2018, arXiv:1804.04235, Algorithms 4 and 5",
    per_step=per_step,
    per_tensor=per_tensor,
    per_element=per_element,
    matrices={"rows": first_rows, "columns": first_columns, "whole": first_whole},
    torch_names={"rows": "row_var", "columns": "col_var", "whole": "variance"},
    directs=True,
    stacks=True,
    decay="own",
    check=check,
    departures="torch's form by default: eps_1 bounds V_t from below, and its default is the spacing of the "
    "parameter's dtype at 1. Of 16-bit parameters arithmetic, state and that spacing are float32's. The decay is the "
    "rule's own: eta lambda, without the size of theta. Of more than two dimensions the last two are factored.",
)


def per_step_with_momentum(
    step,
    *,
    lr: Annotated[Rate, Search(1e-4, 1e-1)] = 1e-2,
    beta2_decay: BetaDecay = -0.8,
    eps: Epsilons = (None, 1e-3),
    d: Threshold = 1.0,
    weight_decay: Decay = 0.0,
    relative_step: Switch = True,
    scale_parameter: Switch = True,
    warmup_init: Switch = False,
    add_eps: Switch = False,
    beta1: Beta1 = 0.9,
):
    numbers = per_step(
        step,
        lr=lr,
        beta2_decay=beta2_decay,
        eps=eps,
        d=d,
        weight_decay=weight_decay,
        relative_step=relative_step,
        scale_parameter=scale_parameter,
        warmup_init=warmup_init,
        add_eps=add_eps,
    )
    return {**numbers, "beta1": beta1}


def per_element_with_momentum(p, g, m, *, beta1, keep):
    m = beta1 * m + (1 - beta1) * g
    p = keep * p - m
    return p, m


adafactor_momentum = replace(
    adafactor,
    name="adafactor_momentum",
    title="Adafactor with momentum",
    per_step=per_step_with_momentum,
    per_element=per_element_with_momentum,
    torch_names={**adafactor.torch_names, "m": "exp_avg"},
    moments={"m": "signed"},
    when=("beta1",),
)
