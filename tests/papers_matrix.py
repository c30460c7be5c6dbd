"""The oracle, continued: rules in which an element must know of the others, in float64 NumPy, from their papers.

Norms and counts over a tensor (LAMB, LARS, cautious), a distance over all of them (Prodigy), bases of a matrix
(Shampoo, SOAP). Shape and promise are those of papers.py and papers_modern.py.
"""

import numpy as np
from papers import Run, _Descent

# One number for a tensor


def lamb(theta, gradient, *, steps, lr, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.0, decoupled=False, **common):
    """You et al. 2019, arXiv:1904.00962, Algorithm 2 (v3 and later), phi(z) = z; bias-corrected.

    The decay is the paper's: part of the update whose norm is taken. With `decoupled` it stands outside, as AdamW's.
    """
    beta1, beta2 = betas
    inside, beside = (0.0, weight_decay) if decoupled else (weight_decay, 0.0)
    descent = _Descent(theta, gradient, steps, lr, weight_decay=beside, decoupled=True, **common)
    m, v = descent.zeros(), descent.zeros()
    for t, eta, g in descent:
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        u = (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps) + inside * descent.theta
        size, length = np.linalg.norm(descent.theta), np.linalg.norm(u)
        trust = size / length if size > 0 and length > 0 else 1.0
        descent.move(eta * trust * u)
    return descent.run(exp_avg=m, exp_avg_sq=v)


def lars(
    theta, gradient, *, steps, lr, momentum=0.9, weight_decay=0.0, trust_coefficient=1e-3, eps=0.0,
    rate_inside=False, decoupled=False, **common,
):  # fmt: skip
    """You, Gitman and Ginsburg 2017, arXiv:1708.03888, Algorithm 1; 1 for the trust where a norm is 0.

    The paper has lr inside the velocity (`rate_inside`); torch's form of momentum has it outside. At a constant lr
    the two take the same path. With `decoupled` the decay stands outside all of this, as AdamW's.
    """
    inside, beside = (0.0, weight_decay) if decoupled else (weight_decay, 0.0)
    descent = _Descent(theta, gradient, steps, lr, weight_decay=beside, decoupled=True, **common)
    b = descent.zeros()
    for _, eta, g in descent:
        size, length = np.linalg.norm(descent.theta), np.linalg.norm(g)
        trust = 1.0
        if size > 0 and length > 0:
            trust = trust_coefficient * size / (length + inside * size + eps)
        within, outside = (eta, 1.0) if rate_inside else (1.0, eta)
        b = momentum * b + within * trust * (g + inside * descent.theta)
        descent.move(outside * b)
    return descent.run(momentum_buffer=b)


# Cautious


def _agreeing(u, g, mean_floor):
    """Liang et al. 2024, arXiv:2411.16085: u where it agrees with g, divided by the mean of the mask.

    As in the released code, by no less than `mean_floor`. None: the text's form, times dim / (how many agree + 1).
    """
    mask = u * g > 0
    scale = u.size / (mask.sum() + 1) if mean_floor is None else 1 / max(mask.sum() / max(u.size, 1), mean_floor)
    return np.where(mask, u * scale, 0.0)


def cautious_adam(theta, gradient, *, steps, lr, betas=(0.9, 0.999), eps=1e-8, mean_floor=1e-3, **common):
    """Adam (AdamW when `decoupled`) under caution."""
    beta1, beta2 = betas
    descent = _Descent(theta, gradient, steps, lr, **common)
    m, v = descent.zeros(), descent.zeros()
    for t, eta, g in descent:
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        u = (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)
        descent.move(eta * _agreeing(u, g, mean_floor))
    return descent.run(exp_avg=m, exp_avg_sq=v)


def cautious_lion(theta, gradient, *, steps, lr, betas=(0.9, 0.99), mean_floor=1e-3, **common):
    """Lion under caution."""
    beta1, beta2 = betas
    descent = _Descent(theta, gradient, steps, lr, **common)
    m = descent.zeros()
    for _, eta, g in descent:
        u = np.sign(beta1 * m + (1 - beta1) * g)
        descent.move(eta * _agreeing(u, g, mean_floor))
        m = beta2 * m + (1 - beta2) * g
    return descent.run(exp_avg=m)


def cautious_momentum(theta, gradient, *, steps, lr, momentum=0.9, dampening=0.0, mean_floor=1e-3, **common):
    """SGD with momentum, in torch's form, under caution."""
    descent = _Descent(theta, gradient, steps, lr, **common)
    b = descent.zeros()
    for t, eta, g in descent:
        b = g if t == 1 else momentum * b + (1 - dampening) * g
        descent.move(eta * _agreeing(b, g, mean_floor))
    return descent.run(momentum_buffer=b)


# Over all tensors at once


def prodigy(
    theta, gradient, *, steps, lr=1.0, betas=(0.9, 0.999), beta3=None, eps=1e-8, d0=1e-6, d_coef=1.0,
    growth_rate=np.inf, weight_decay=0.0, decoupled=True, safeguard_warmup=False, use_bias_correction=False,
    eps_before=False, **common,
):  # fmt: skip
    """Mishchenko and Defazio 2023, arXiv:2306.06101, Algorithm 4; over a LIST of tensors, since d is one for all.

    `gradient` takes and gives a list, and so are path and state. Authors' form where it parts from the paper: eps is
    scaled by the d just found, not (as with `eps_before`) the one before; the growth of d is bounded by `growth_rate`,
    save for the first.
    In theta_0 - theta nearly all digits cancel while d is small: expect a relative error of epsilon / d0.
    """
    beta1, beta2 = betas
    beta3 = np.sqrt(beta2) if beta3 is None else beta3
    shapes = [np.shape(each) for each in theta]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]

    def parts(flat):
        return [piece.reshape(shape) for piece, shape in zip(np.split(flat, ends), shapes, strict=True)]

    def joined(pieces):
        return np.concatenate([np.ravel(piece) for piece in pieces])

    inside = 0.0 if decoupled else weight_decay
    descent = _Descent(
        joined(theta), lambda x, t: joined(gradient(parts(x), t)), steps, lr, weight_decay=inside, **common
    )
    start = descent.theta
    m, v, s = descent.zeros(), descent.zeros(), descent.zeros()
    d = d_max = d0
    r, k = 0.0, 0
    for _, eta, g in descent:
        if not (np.any(s) or np.any(g)):  # d cannot be told yet: the step does not count
            descent.move(0.0)
            continue
        rate, k = d * eta, k + 1
        if use_bias_correction:
            rate = rate * np.sqrt(1 - beta2**k) / (1 - beta1**k)
        m = beta1 * m + (1 - beta1) * d * g
        v = beta2 * v + (1 - beta2) * (d * g) ** 2
        r = beta3 * r + d / d0 * rate * np.sum(g * (start - descent.theta))
        s = beta3 * s + d / d0 * (d if safeguard_warmup else rate) * g
        d_hat, d_before = d_coef * r / np.sum(np.abs(s)), d
        if d == d0:
            d = max(d, d_hat)
        d_max = max(d_max, d_hat)
        d = min(d_max, d * growth_rate)
        decay = weight_decay * descent.theta if decoupled else 0.0
        descent.move(rate * (m / (np.sqrt(v) + (d_before if eps_before else d) * eps) + decay))
    return Run([parts(x) for x in descent.path], {"exp_avg": parts(m), "exp_avg_sq": parts(v), "s": parts(s), "d": d})


# Matrices


def _along(tensor, axis, matrix):
    """Multiply every fibre of `tensor` along `axis` by `matrix`."""
    return np.moveaxis(np.tensordot(matrix, tensor, axes=(1, axis)), 0, axis)


def _gram(tensor, axis):
    """G G^T of the tensor unfolded along an axis."""
    unfolded = np.moveaxis(tensor, axis, 0).reshape(tensor.shape[axis], -1)
    return unfolded @ unfolded.T


def shampoo(theta, gradient, *, steps, lr, eps=1e-4, root=None, update_frequency=1, **common):
    """Gupta, Koren and Singer 2018, arXiv:1802.09568, Algorithm 2 (a matrix is Algorithm 1).

    Along each of the k axes: eps * I plus the sum of G G^T, to the power -1 / (2 k); `root` sets another 2 k. The roots
    are taken anew every `update_frequency` steps, the first time at the first.
    """
    descent = _Descent(theta, gradient, steps, lr, **common)
    order = descent.theta.ndim
    power = -1.0 / (root or 2 * order or 1)
    statistics = [eps * np.eye(n) for n in descent.theta.shape]
    roots = [None] * order
    for t, eta, g in descent:
        update = g
        for axis in range(order):
            statistics[axis] = statistics[axis] + _gram(g, axis)
            if (t - 1) % update_frequency == 0:
                values, basis = np.linalg.eigh(statistics[axis])
                roots[axis] = (basis * values**power) @ basis.T
            update = _along(update, axis, roots[axis])
        descent.move(eta * update)
    return descent.run(preconditioners=statistics, roots=roots)


def soap(
    theta, gradient, *, steps, lr=3e-3, betas=(0.95, 0.95), shampoo_beta=None, eps=1e-8, weight_decay=0.01,
    precondition_frequency=10, max_precondition_dim=10000, precondition_1d=False, correct_bias=True,
    decoupled=True, eigh=np.linalg.eigh, **common,
):  # fmt: skip
    """Vyas et al. 2024, arXiv:2409.11321, Algorithm 3: Adam in the eigenbasis of Shampoo's statistics.

    Authors' form: the first gradient only founds the basis, and nothing moves; eps outside the root; the decay acts
    after the step; at a refresh (a power iteration and QR) the basis is sorted first, and v with it. Where the first
    gradient has less than full rank, the basis of what is left is chance: pass the `eigh` to compare with.
    """
    beta1, beta2 = betas
    beta_s = beta2 if shampoo_beta is None else shampoo_beta
    inside, beside = (0.0, weight_decay) if decoupled else (weight_decay, 0.0)
    descent = _Descent(theta, gradient, steps, lr, weight_decay=inside, **common)
    shape = descent.theta.shape
    turned = [n <= max_precondition_dim and (len(shape) > 1 or precondition_1d) for n in shape]
    axes = [axis for axis, turns in enumerate(turned) if turns]
    statistics = {axis: np.zeros((shape[axis], shape[axis])) for axis in axes}
    bases = {}
    m, v = descent.zeros(), descent.zeros()

    def rotated(tensor, back=False):
        for axis in axes:
            tensor = _along(tensor, axis, bases[axis] if back else bases[axis].T)
        return tensor

    for t, eta, g in descent:
        k = t - 1  # the steps that move
        if k == 0:
            descent.move(0.0)
        else:
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * rotated(g) ** 2
            size = eta * np.sqrt(1 - beta2**k) / (1 - beta1**k) if correct_bias else eta
            there = descent.theta - size * rotated(rotated(m) / (np.sqrt(v) + eps), back=True)
            descent.move(descent.theta - there * (1 - eta * beside))
        for axis in axes:
            statistics[axis] = beta_s * statistics[axis] + (1 - beta_s) * _gram(g, axis)
            if k == 0:
                bases[axis] = eigh(statistics[axis])[1][:, ::-1]
            elif k % precondition_frequency == 0:
                basis = bases[axis]
                largest_first = np.argsort(-np.diag(basis.T @ statistics[axis] @ basis))
                v = np.take(v, largest_first, axis)
                bases[axis] = np.linalg.qr(statistics[axis] @ basis[:, largest_first])[0]
    return descent.run(exp_avg=m, exp_avg_sq=v, GG=[statistics[axis] for axis in axes])


# Factored second moments


def adafactor(
    theta, gradient, *, steps, lr=1e-2, beta2_decay=-0.8, eps=(None, 1e-3), d=1.0, beta1=0.0, weight_decay=0.0,
    relative_step=True, scale_parameter=True, warmup_init=False, add_eps=False, decoupled=False, **common,
):  # fmt: skip
    """Shazeer and Stern 2018, arXiv:1804.04235, Algorithms 4 (matrices) and 5 (vectors), in sums as the paper has them.

    torch's form keeps V at eps_1^2 and above (and the mean of R at eps_1); the paper's (`add_eps`) adds eps_1 to G^2.
    The decay, where `decoupled`, is of theta before the step, and no part of its size.
    """
    inside, beside = (0.0, weight_decay) if decoupled else (weight_decay, 0.0)
    descent = _Descent(theta, gradient, steps, lr, weight_decay=inside, **common)
    shape, m = descent.theta.shape, descent.zeros()
    factored = len(shape) > 1
    tiny = eps[0] if eps[0] is not None else (1e-30 if add_eps else np.finfo(np.float64).eps)
    sums = [0.0, 0.0] if factored else [0.0]
    for t, eta, g in descent:
        beta = 1 - t**beta2_decay
        squares = g * g + (tiny if add_eps else 0.0)
        new = [squares.sum(axis=-1), squares.sum(axis=-2)] if factored else [squares]
        sums = [beta * old + (1 - beta) * more for old, more in zip(sums, new, strict=True)]
        v = sums[0]
        if factored:
            (rows, columns), (n, k) = sums, shape[-2:]
            total = rows.sum(axis=-1)
            total = total if add_eps else np.maximum(total, tiny * n * k)
            v = np.einsum("...i,...j->...ij", rows, columns) / total[..., None, None]
        u = g / np.sqrt(v if add_eps else np.maximum(v, tiny**2))
        u = u / max(1.0, np.sqrt(np.mean(u * u)) / d)
        first = min(eta, 1e-6 * t) if warmup_init else eta
        alpha = min(first, 1 / np.sqrt(t)) if relative_step else eta
        if scale_parameter:
            alpha = alpha * max(eps[1], np.sqrt(np.mean(descent.theta**2)))
        m = beta1 * m + (1 - beta1) * alpha * u
        descent.move(eta * beside * descent.theta + m)
    if not factored:
        kept = {"variance": sums[0]}
    else:
        kept = {"row_var": sums[0][..., :, None] / shape[-1], "col_var": sums[1][..., None, :] / shape[-2]}
    return descent.run(**kept, **({"exp_avg": m} if beta1 else {}))


# Orthogonal directions


def muon(
    theta, gradients, *, lr, momentum=0.95, nesterov=True, weight_decay=0.1, adjust_lr_fn=None,
    orthogonalize, **newton_schulz,
):  # fmt: skip
    """Jordan et al. 2024 in the form of Liu et al. 2025, arXiv:2502.16982, of one matrix; the final parameter."""
    theta, buffer = np.array(theta, dtype=np.float64), 0.0
    rows, columns = theta.shape
    for g in gradients:
        buffer = momentum * buffer + (1 - momentum) * g
        ahead = momentum * buffer + (1 - momentum) * g if nesterov else buffer
        direction = orthogonalize(ahead, **newton_schulz)
        matched = adjust_lr_fn == "match_rms_adamw"
        size = 0.2 * np.sqrt(max(rows, columns)) if matched else np.sqrt(max(1.0, rows / columns))
        theta = (1 - lr * weight_decay) * theta - lr * size * direction
    return theta


def by_singular_values(x, *, ns_coefficients=(3.4445, -4.7750, 2.0315), ns_steps=5, eps=1e-7):
    """The Newton-Schulz steps on singular values, of which a matrix polynomial of odd degree is a function."""
    a, b, c = ns_coefficients
    left, values, right = np.linalg.svd(x, full_matrices=False)
    values = values / max(np.sqrt((values**2).sum()), eps)
    for _ in range(ns_steps):
        values = a * values + b * values**3 + c * values**5
    return (left * values) @ right
