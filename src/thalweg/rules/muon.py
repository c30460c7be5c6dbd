r"""Muon: momentum whose matrix is brought near the closest orthogonal one.

M_t = mu M_{t-1} + (1 - mu) G_t,   U_t = mu M_t + (1 - mu) G_t                      nesterov; else U_t = M_t
X_0 = U_t / ||U_t||_F,   A = X X^T,   X_{k+1} = a X_k + (b A + c A^2) X_k           Newton-Schulz, K steps
theta_t = (1 - eta lambda) theta_{t-1} - eta r X_K

r = sqrt(max(1, rows / columns)) ("original"), or 0.2 sqrt(max(rows, columns)) ("match_rms_adamw": a step as long as
AdamW's). A tensor of more dimensions is the matrix of its first axis against all others, as a convolution is; with
stack_dims its first axes number matrices (experts), and with split each is cut into so many along its rows (QKV).
"""

from typing import Annotated

import torch

from thalweg.rule.definition import Rule
from thalweg.rule.hyperparameters import Epsilon, Momentum, OneOf, Rate, Search, Switch, Valid

Coefficients = Annotated[tuple[float, float, float], Valid("Invalid ns_coefficients", low=-torch.inf, count=3)]
Steps = Annotated[float, Valid("Invalid ns_steps", high=100, open_above=True)]
Adjustment = Annotated[str | None, OneOf((None, "original", "match_rms_adamw"))]
Axes = Annotated[float, Valid("Invalid stack_dims", high=8)]
Parts = Annotated[float, Valid("Invalid split", low=1)]
LONG = 512  # rows from which half of a symmetric product costs more than putting the halves together
# From so many rows on, and from so many times as many columns, fewer operations by the Gram matrix pay.
WIDE, LONGER = 256, 3
# Numbers: larger matrices are quicker one by one, while each is in the caches (2 cores, bfloat16).
BATCHED = 65536


def per_step(
    step,
    *,
    lr: Annotated[Rate, Search(1e-4, 1e-1)] = 1e-3,
    momentum: Momentum = 0.95,
    nesterov: Switch = True,
    ns_coefficients: Coefficients = (3.4445, -4.7750, 2.0315),
    eps: Epsilon = 1e-7,
    ns_steps: Steps = 5,
    adjust_lr_fn: Adjustment = None,
    stack_dims: Axes = 0,
    split: Parts = 1,
):
    return {
        "eta": lr,
        "mu": momentum,
        "nesterov": nesterov,
        "coefficients": ns_coefficients,
        "eps": eps,
        "steps": ns_steps,
        "match": adjust_lr_fn == "match_rms_adamw",
        "layout": (stack_dims, split),
    }


def per_tensor(ps, gs, states, *, mu, nesterov, coefficients, eps, steps, match, layout):
    if not gs[0].numel():
        return {"g": gs}
    rows, columns = as_matrices(gs[0], layout).shape[-2:]
    ratio = 0.2 * max(rows, columns) ** 0.5 if match else max(1.0, rows / columns) ** 0.5
    some = together if rows * columns <= BATCHED else one_by_one
    ms = [state["m"] for state in states]
    return {"g": some(gs, ms, mu, nesterov, ratio, layout, (coefficients, eps, steps))}


def together(gs, ms, mu, nesterov, ratio, layout, settings):
    """Directions of small matrices, all in one stack."""
    torch._foreach_lerp_(ms, gs, 1 - mu)
    ahead = torch.stack(torch._foreach_lerp(gs, ms, mu) if nesterov else ms)
    matrices = as_matrices(ahead, (layout[0] + 1, layout[1])).bfloat16()
    return ahead.copy_(orthogonal(matrices, *settings).reshape(ahead.shape)).mul_(ratio).unbind()


def one_by_one(gs, ms, mu, nesterov, ratio, layout, settings):
    """Directions of large matrices."""
    directions = []
    for g, m in zip(gs, ms, strict=True):
        m.lerp_(g, 1 - mu)
        ahead = torch.lerp(g, m, mu) if nesterov else m.clone()
        made = [orthogonal(matrix, *settings) for matrix in as_matrices(ahead, layout).bfloat16()]
        whole = made[0] if len(made) == 1 else torch.stack(made)
        directions.append(ahead.copy_(whole.reshape(ahead.shape)).mul_(ratio))  # still in the caches, if it is large
    return directions


def as_matrices(u, layout):
    """A tensor as a stack of matrices."""
    stack_dims, split = map(int, layout)
    shape = u.shape[stack_dims:]
    return u.reshape(-1, shape[0] // split, shape[1:].numel())


def orthogonal(x, coefficients, eps, steps):
    """A matrix, or each of a stack, with its singular values brought near 1."""
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    norm = torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True).clamp(min=eps)
    iterate = by_gram if x.shape[-2] >= WIDE and x.shape[-1] >= LONGER * x.shape[-2] else step_by_step
    x = iterate(x / norm, coefficients, int(steps))
    return x.mT if tall else x


def step_by_step(x, coefficients, steps):
    """Newton-Schulz as it is written."""
    a, b, c = coefficients
    for _ in range(steps):
        gram = symmetric(x, x.mT)
        x = plus(x, symmetric(gram, gram, b, c), x, a, 1.0)
    return x


def by_gram(x, coefficients, steps):
    """The same by products of the small A = X X^T: P = a + b A + c A^2, the next step's A is P A P, and X is multiplied
    once by the product of two steps' P. After two steps A is taken anew: over more of them small singular values would
    drown in the rounding of large ones (over all five steps the error of a matrix whose singular values fall by 10,000
    is 0.65, by two and two 0.06 as step by step)."""
    a, b, c = coefficients
    for first in range(0, steps, 2):
        gram = symmetric(x, x.mT)
        p = symmetric(gram, gram, b, c)
        p.diagonal(dim1=-2, dim2=-1).add_(a)
        if first + 1 < steps:
            gram = symmetric(p @ gram, p)
            square = symmetric(gram, gram, b, c)
            square.diagonal(dim1=-2, dim2=-1).add_(a)
            p = symmetric(square, p)
        x = p @ x
    return x


def symmetric(x, y, beta=0.0, alpha=1.0):
    """beta x + alpha x y, of which it is known that it is symmetric."""
    if x.dim() == 2 and len(x) >= LONG:
        return upper_twice(x, y, beta, alpha)
    return plus(x, x, y, beta, alpha) if beta else x @ y


def plus(added, x, y, beta, alpha):
    """beta added + alpha x y."""
    return (torch.baddbmm if x.dim() > 2 else torch.addmm)(added, x, y, beta=beta, alpha=alpha)


def upper_twice(x, y, beta=0.0, alpha=1.0):
    """beta x + alpha x y of a product that is symmetric: its lower left quarter is the upper right one's mirror."""
    half = len(x) // 2
    if beta:
        top = torch.addmm(x[:half], x[:half], y, beta=beta, alpha=alpha)
        corner = torch.addmm(x[half:, half:], x[half:], y[:, half:], beta=beta, alpha=alpha)
    else:
        top, corner = x[:half] @ y, x[half:] @ y[:, half:]
    return torch.cat([top, torch.cat([top[:, half:].T, corner], dim=1)])


def per_element(p, g, *, eta):
    p = p - eta * g
    return p


def unfit(p, settings):
    """Muon takes matrices."""
    stack_dims, split = int(settings["stack_dims"]), int(settings["split"])
    if p.dim() < stack_dims + 2:
        least = f"{stack_dims + 2} dimensions" + (f" with stack_dims={stack_dims}" if stack_dims else "")
        return f"Muon only supports 2D parameters, or such as are matrices when flattened: at least {least}"
    if p.shape[stack_dims] % split:
        return f"split={split} does not divide the {p.shape[stack_dims]} rows"
    return None


def check(settings):
    """Steps, axes and parts are whole numbers."""
    for name in ("ns_steps", "stack_dims", "split"):
        if settings[name] != int(settings[name]):
            raise ValueError(f"{name}: got {settings[name]!r}; must be a whole number")


def first_momentum(p, settings):
    return torch.zeros_like(p)


muon = Rule(
    name="muon",
    title="Muon: momentum made orthogonal by Newton-Schulz steps",
    source="Jordan et al. 2024, kellerjordan.github.io/posts/muon; decay and match_rms_adamw: Liu et al. 2025, "
    "arXiv:2502.16982",
    per_step=per_step,
    per_tensor=per_tensor,
    per_element=per_element,
    matrices={"m": first_momentum},
    moments={"m": "signed"},
    torch_names={"m": "momentum_buffer"},
    directs=True,
    stacks=True,
    unfit=unfit,
    check=check,
    counts_steps=False,
    decay="decoupled",
    weight_decay=0.1,
    departures="Newton-Schulz steps run in bfloat16 whatever the parameters are, as in torch. Small matrices of one "
    "shape are orthogonalized at once, long ones by products of their Gram matrix, taken anew after each two steps. "
    "Of 16-bit parameters the momentum is float32.",
)
