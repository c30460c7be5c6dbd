"""The oracle, continued: rules in which each element goes its own way, in float64 NumPy, from their papers.

Same shape and same promise as papers.py: nothing here is shared with the package. Hyperparameters have the names
that public libraries gave them. "Authors' form" marks what the released code settles and the paper leaves open or has
otherwise; where the two part, the docstring says how. test_peers.py holds these paths against public libraries.
"""

from dataclasses import dataclass, field

import numpy as np
from papers import Run, _Descent

# In torch.optim


def rprop(theta, gradient, *, steps, lr, etas=(0.5, 1.2), step_sizes=(1e-6, 50.0), **common):
    """Riedmiller and Braun 1993, ICNN; torch's form (iRprop-): after a change of sign the element rests one step."""
    shrink, grow = etas
    descent = _Descent(theta, gradient, steps, lr, **common)
    before, size = descent.zeros(), None
    for _, eta, g in descent:
        if size is None:
            size = descent.zeros() + eta  # a later lr changes nothing
        agreement = before * g
        factor = np.where(agreement > 0, grow, np.where(agreement < 0, shrink, 1.0))
        size = np.clip(size * factor, *step_sizes)
        g = np.where(agreement < 0, 0.0, g)
        descent.move(size * np.sign(g))
        before = g
    return descent.run(prev=before, step_size=size)


def asgd(theta, gradient, *, steps, lr, lambd=1e-4, alpha=0.75, t0=1e6, **common):
    """Polyak and Juditsky 1992, SIAM J. Control 30; torch's form: rate and weight of step t are those set at t - 1."""
    descent = _Descent(theta, gradient, steps, lr, **common)
    average, rate, weight = descent.zeros(), None, 1.0
    for t, eta, g in descent:
        if rate is None:
            rate = eta
        descent.move(rate * lambd * descent.theta + rate * g)
        average = average + weight * (descent.theta - average)
        rate = eta / (1 + lambd * eta * t) ** alpha
        weight = 1 / max(1.0, t - t0)
    return descent.run(ax=average, mu=weight, eta=rate)


def sparse_adam(theta, gradient, *, steps, lr, touched, betas=(0.9, 0.999), eps=1e-8, maximize=False):
    """Adam on the rows `touched(t)` alone, torch's form: one count of steps for all rows, and eps beside the raw root.

    `gradient` answers with the dense gradient; rows that are not named in `touched(t)` neither move nor age.
    """
    beta1, beta2 = betas
    descent = _Descent(theta, gradient, steps, lr, maximize=maximize)
    m, v = descent.zeros(), descent.zeros()
    for t, eta, g in descent:
        rows = np.unique(touched(t))
        m[rows] = beta1 * m[rows] + (1 - beta1) * g[rows]
        v[rows] = beta2 * v[rows] + (1 - beta2) * g[rows] ** 2
        update = descent.zeros()
        update[rows] = eta * np.sqrt(1 - beta2**t) / (1 - beta1**t) * m[rows] / (np.sqrt(v[rows]) + eps)
        descent.move(update)
    return descent.run(exp_avg=m, exp_avg_sq=v)


# Signs


def lion(theta, gradient, *, steps, lr, betas=(0.9, 0.99), **common):
    """Chen et al. 2023, arXiv:2302.06675, Algorithm 2; its decay is the decoupled one."""
    beta1, beta2 = betas
    descent = _Descent(theta, gradient, steps, lr, **common)
    m = descent.zeros()
    for _, eta, g in descent:
        descent.move(eta * np.sign(beta1 * m + (1 - beta1) * g))
        m = beta2 * m + (1 - beta2) * g
    return descent.run(exp_avg=m)


# The Adam family


def adabelief(theta, gradient, *, steps, lr, betas=(0.9, 0.999), eps=1e-16, **common):
    """Zhuang et al. 2020, arXiv:2010.07468, Algorithm 2: eps inside s, where it adds up, and once more outside."""
    beta1, beta2 = betas
    descent = _Descent(theta, gradient, steps, lr, **common)
    m, s = descent.zeros(), descent.zeros()
    for t, eta, g in descent:
        m = beta1 * m + (1 - beta1) * g
        s = beta2 * s + (1 - beta2) * (g - m) ** 2 + eps
        m_hat, s_hat = m / (1 - beta1**t), s / (1 - beta2**t)
        descent.move(eta * m_hat / (np.sqrt(s_hat) + eps))
    return descent.run(exp_avg=m, exp_avg_var=s)


def adan(
    theta, gradient, *, steps, lr=1e-3, betas=(0.98, 0.92, 0.99), eps=1e-8, weight_decay=0.0, no_prox=False, **common
):
    """Xie et al. 2022, arXiv:2208.06677, Algorithm 1; authors' form: betas are 1 - the paper's, and bias corrections.

    The decay divides by 1 + lr * weight_decay after the step; with `no_prox` it is that of `decoupled`.
    """
    beta1, beta2, beta3 = betas
    descent = _Descent(theta, gradient, steps, lr, weight_decay=weight_decay if no_prox else 0.0, **common)
    m, v, n, before = descent.zeros(), descent.zeros(), descent.zeros(), None
    for t, eta, g in descent:
        change = g - (g if before is None else before)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * change
        n = beta3 * n + (1 - beta3) * (g + beta2 * change) ** 2
        m_hat, v_hat, n_hat = m / (1 - beta1**t), v / (1 - beta2**t), n / (1 - beta3**t)
        there = descent.theta - eta * (m_hat + beta2 * v_hat) / (np.sqrt(n_hat) + eps)
        if not no_prox:
            there = there / (1 + eta * weight_decay)
        descent.move(descent.theta - there)
        before = g
    return descent.run(exp_avg=m, exp_avg_diff=v, exp_avg_sq=n, neg_pre_grad=-before)


def adopt(theta, gradient, *, steps, lr, betas=(0.9, 0.9999), eps=1e-6, clip=True, **common):
    """Taniguchi et al. 2024, arXiv:2411.02853, Algorithm 2: v of the step before, clipped at the fourth root of t.

    The first gradient only sets v: nothing moves, and nothing decays. The clip counts from the first move.
    """
    beta1, beta2 = betas
    descent = _Descent(theta, gradient, steps, lr, **common)
    m, v = descent.zeros(), descent.zeros()
    start = descent.theta
    for t, eta, g in descent:
        if t == 1:
            v = g**2
            descent.theta = start
            descent.move(0.0)
            continue
        normed = g / np.maximum(np.sqrt(v), eps)
        if clip:
            bound = (t - 1) ** 0.25
            normed = np.clip(normed, -bound, bound)
        m = beta1 * m + (1 - beta1) * normed
        descent.move(eta * m)
        v = beta2 * v + (1 - beta2) * g**2
    return descent.run(exp_avg=m, exp_avg_sq=v)


def ademamix(theta, gradient, *, steps, lr, betas=(0.9, 0.999, 0.9999), alpha=5.0, t_warmup=0, eps=1e-8, **common):
    """Pagliardini, Ablin and Grangier 2024, arXiv:2409.03137, Algorithm 1 with its schedules of alpha and beta3."""
    beta1, beta2, beta3 = betas
    descent = _Descent(theta, gradient, steps, lr, **common)
    m1, m2, v = descent.zeros(), descent.zeros(), descent.zeros()
    for t, eta, g in descent:
        alpha_t, beta3_t = alpha, beta3
        if t < t_warmup:
            done = t / t_warmup
            alpha_t = done * alpha
            low, high = np.log(beta1), np.log(beta3)
            beta3_t = min(np.exp(low * high / ((1 - done) * high + done * low)), beta3)
        m1 = beta1 * m1 + (1 - beta1) * g
        m2 = beta3_t * m2 + (1 - beta3_t) * g
        v = beta2 * v + (1 - beta2) * g**2
        descent.move(eta * (m1 / (1 - beta1**t) + alpha_t * m2) / (np.sqrt(v / (1 - beta2**t)) + eps))
    return descent.run(exp_avg=m1, exp_avg_slow=m2, exp_avg_sq=v)


def nadamw(theta, gradient, *, steps, lr, betas=(0.9, 0.999), eps=1e-8, ahead=1, **common):
    """Dozat 2016, ICLR workshop, at a constant momentum; decay as AdamW when `decoupled`.

    The step uses next step's share of m, so Dozat corrects it for t + 1 (`ahead` = 1). The AlgoPerf benchmark
    (Dahl et al. 2023, arXiv:2306.07179) corrects both terms for t: `ahead` = 0.
    """
    beta1, beta2 = betas
    descent = _Descent(theta, gradient, steps, lr, **common)
    m, v = descent.zeros(), descent.zeros()
    for t, eta, g in descent:
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat = beta1 * m / (1 - beta1 ** (t + ahead)) + (1 - beta1) * g / (1 - beta1**t)
        descent.move(eta * m_hat / (np.sqrt(v / (1 - beta2**t)) + eps))
    return descent.run(exp_avg=m, exp_avg_sq=v)


def qhadam(theta, gradient, *, steps, lr, betas=(0.995, 0.999), nus=(0.7, 1.0), eps=1e-8, **common):
    """Ma and Yarats 2018, arXiv:1810.06801, section 4: both moments are mixed with what the gradient says alone."""
    (beta1, beta2), (nu1, nu2) = betas, nus
    descent = _Descent(theta, gradient, steps, lr, **common)
    m, v = descent.zeros(), descent.zeros()
    for t, eta, g in descent:
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        mean = (1 - nu1) * g + nu1 * m / (1 - beta1**t)
        square = (1 - nu2) * g**2 + nu2 * v / (1 - beta2**t)
        descent.move(eta * mean / (np.sqrt(square) + eps))
    return descent.run(exp_avg=m, exp_avg_sq=v)


def adahessian(theta, gradient, *, steps, lr, hessian, betas=(0.9, 0.999), eps=1e-8, hessian_power=1.0, **common):
    """Yao et al. 2020, arXiv:2006.00719, Algorithm 1, without its averaging over blocks.

    `hessian(theta, t)` is the estimate z * (H z) of the diagonal, taken where the gradient is.
    """
    beta1, beta2 = betas
    descent = _Descent(theta, gradient, steps, lr, **common)
    start = descent.theta
    m, v = descent.zeros(), descent.zeros()
    for t, eta, g in descent:
        D = hessian(start, t)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * D**2
        D_bar = np.sqrt(v / (1 - beta2**t))
        descent.move(eta * (m / (1 - beta1**t)) / (D_bar**hessian_power + eps))
        start = descent.theta
    return descent.run(exp_avg=m, exp_hessian_diag_sq=v)


# Averages in place of schedules


@dataclass
class Averaged(Run):
    """A schedule-free run: path = x, the average; lookahead = y, where gradients are taken; base = z, the iterate."""

    base: list = field(default_factory=list)


def _schedule_free(theta, gradient, direction, *, steps, lr, beta, r, weight_lr_power, state, **common):
    """Defazio et al. 2024, arXiv:2405.15682, Algorithm 1, with the released weights t^r * lr_max^weight_lr_power.

    `direction(t, g, y, eta)` answers with the rate of step t (0 rests) and what z goes along.
    """
    descent = _Descent(theta, gradient, steps, lr, **common)  # its theta is x
    run = Averaged(descent.path, state)
    z, lr_max, weights = descent.theta, 0.0, 0.0
    for t, eta, g in descent:
        y = descent.theta - descent.ahead
        rate, d = direction(t, g, y, eta)
        lr_max = max(lr_max, rate)
        weight = t**r * lr_max**weight_lr_power
        weights += weight
        share = weight / weights if weights > 0 else 0.0
        z = z - rate * d
        descent.move(share * (descent.theta - z))
        descent.ahead = (1 - beta) * (descent.theta - z)
        run.base.append(z)
        run.lookahead.append(descent.theta - descent.ahead)
    state["z"] = z
    return run


def _warm_up(t, eta, warmup_steps):
    return eta * min(1.0, t / warmup_steps) if warmup_steps else eta


def schedule_free_sgd(
    theta, gradient, *, steps, lr, momentum=0.9, warmup_steps=0, r=0.0, weight_lr_power=2.0, decoupled=False, **common
):
    """Schedule-free SGD. The decay is taken at y, so coupled and decoupled are one."""

    def direction(t, g, y, eta):
        return _warm_up(t, eta, warmup_steps), g

    weights = {"r": r, "weight_lr_power": weight_lr_power}
    return _schedule_free(theta, gradient, direction, steps=steps, lr=lr, beta=momentum, state={}, **weights, **common)


def schedule_free_adamw(
    theta, gradient, *, steps, lr, betas=(0.9, 0.999), eps=1e-8, warmup_steps=0, r=0.0, weight_lr_power=2.0,
    weight_decay=0.0, decoupled=True, **common,
):  # fmt: skip
    """Schedule-free AdamW; the decoupled decay acts on z, with the value of y."""
    beta1, beta2 = betas
    state = {"exp_avg_sq": 0.0}
    beside, inside = (weight_decay, 0.0) if decoupled else (0.0, weight_decay)

    def direction(t, g, y, eta):
        state["exp_avg_sq"] = beta2 * state["exp_avg_sq"] + (1 - beta2) * g**2
        v_hat = state["exp_avg_sq"] / (1 - beta2**t)
        return _warm_up(t, eta, warmup_steps), g / (np.sqrt(v_hat) + eps) + beside * y

    weights = {"r": r, "weight_lr_power": weight_lr_power, "weight_decay": inside}
    return _schedule_free(theta, gradient, direction, steps=steps, lr=lr, beta=beta1, state=state, **weights, **common)


def schedule_free_radam(
    theta, gradient, *, steps, lr, betas=(0.9, 0.999), eps=1e-8, r=0.0, weight_lr_power=2.0, silent_sgd_phase=True,
    weight_decay=0.0, decoupled=True, **common,
):  # fmt: skip
    """Schedule-free RAdam: the rectification (Liu et al. 2019) is the warm-up, above rho = 4.

    Before that the authors' form rests, or with `silent_sgd_phase` off takes plain gradient steps at the full rate.
    """
    beta1, beta2 = betas
    rho_inf = 2 / (1 - beta2) - 1
    state = {"exp_avg_sq": 0.0}
    beside, inside = (weight_decay, 0.0) if decoupled else (0.0, weight_decay)

    def direction(t, g, y, eta):
        state["exp_avg_sq"] = beta2 * state["exp_avg_sq"] + (1 - beta2) * g**2
        rho = rho_inf - 2 * t * beta2**t / (1 - beta2**t)
        if rho <= 4:
            return 0.0 if silent_sgd_phase else eta, g + beside * y
        rectified = np.sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
        v_hat = state["exp_avg_sq"] / (1 - beta2**t)
        return eta * rectified, g / (np.sqrt(v_hat) + eps) + beside * y

    weights = {"r": r, "weight_lr_power": weight_lr_power, "weight_decay": inside}
    return _schedule_free(theta, gradient, direction, steps=steps, lr=lr, beta=beta1, state=state, **weights, **common)
