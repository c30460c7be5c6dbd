"""The oracle: every optimizer's published algorithm in float64 NumPy, written straight from the papers.

Where a docstring says "torch's form", the equations are those of torch.optim's documented pseudo-code. The
tests hold the library to these paths, so this file must share nothing with it and never import the package.
Call `adam(theta, gradient, steps=..., lr=...)`: `gradient(theta, t)` is asked once a step, t = 1, 2, ...;
`lr` is a float or a callable `lr(t)`. Every function also takes `weight_decay`, `decoupled` and `maximize`.
"""

import inspect
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Run:
    """What a run leaves: the iterates theta_1 .. theta_steps, and the final state under torch's names."""

    path: list
    state: dict
    lookahead: list = field(default_factory=list)  # classical_nesterov only: theta_t - gamma * V_t


def oracles(module):
    """Every oracle of a module, by its name."""
    functions = {name: each for name, each in vars(module).items() if inspect.isfunction(each) and name[0] != "_"}
    return {
        name: each
        for name, each in functions.items()
        if each.__module__ == module.__name__ and list(inspect.signature(each).parameters)[:2] == ["theta", "gradient"]
    }


class _Descent:
    """The loop all papers share: yields (t, eta, g) for each step; the method answers with `move(update)`."""

    def __init__(self, theta, gradient, steps, lr, weight_decay=0.0, decoupled=False, maximize=False):
        self.theta = np.array(theta, dtype=np.float64)
        self.gradient, self.steps, self.lr = gradient, steps, lr
        self.weight_decay, self.decoupled, self.maximize = weight_decay, decoupled, maximize
        self.ahead = 0.0  # the gradient is taken at theta - ahead
        self.path = []

    def zeros(self):
        return np.zeros_like(self.theta)

    def __iter__(self):
        for t in range(1, self.steps + 1):
            eta = self.lr(t) if callable(self.lr) else self.lr
            point = self.theta - self.ahead
            g = np.array(self.gradient(point.copy(), t), dtype=np.float64)
            if self.maximize:
                g = -g
            if self.decoupled:
                self.theta = self.theta - eta * self.weight_decay * self.theta
            else:
                g = g + self.weight_decay * point
            yield t, eta, g

    def move(self, update):
        self.theta = self.theta - update
        self.path.append(np.array(self.theta))

    def run(self, **state):
        return Run(self.path, state)


# Gradient descent and momentum


def gradient_descent(theta, gradient, *, steps, lr, **common):
    """Steepest descent: Cauchy 1847, Comptes Rendus 25; Robbins and Monro 1951, Ann. Math. Stat. 22."""
    descent = _Descent(theta, gradient, steps, lr, **common)
    for _, eta, g in descent:
        descent.move(eta * g)
    return descent.run()


def momentum(theta, gradient, *, steps, lr, momentum, dampening=0.0, **common):
    """Heavy ball, Polyak 1964, USSR Comp. Math. 4; torch's form: lr outside b, first step undampened."""
    mu = momentum
    descent = _Descent(theta, gradient, steps, lr, **common)
    b = descent.zeros()
    for t, eta, g in descent:
        b = g if t == 1 else mu * b + (1 - dampening) * g
        descent.move(eta * b)
    return descent.run(momentum_buffer=b)


def classical_momentum(theta, gradient, *, steps, lr, momentum, **common):
    """Rumelhart, Hinton and Williams 1986, Nature 323; Qian 1999, Neural Networks 12: lr inside V."""
    gamma = momentum
    descent = _Descent(theta, gradient, steps, lr, **common)
    V = descent.zeros()
    for _, eta, g in descent:
        V = gamma * V + eta * g
        descent.move(V)
    return descent.run(momentum_buffer=V)


def nesterov(theta, gradient, *, steps, lr, momentum, **common):
    """Nesterov 1983, Soviet Math. Doklady 27; Sutskever et al. 2013, ICML; torch's form: g + mu b."""
    mu = momentum
    descent = _Descent(theta, gradient, steps, lr, **common)
    b = descent.zeros()
    for _, eta, g in descent:
        b = mu * b + g
        descent.move(eta * (g + mu * b))
    return descent.run(momentum_buffer=b)


def classical_nesterov(theta, gradient, *, steps, lr, momentum, **common):
    """Nesterov 1983, Soviet Math. Doklady 27: the gradient at the lookahead point theta - gamma V."""
    gamma = momentum
    descent = _Descent(theta, gradient, steps, lr, **common)
    V, lookahead = descent.zeros(), []
    for _, eta, g in descent:
        V = gamma * V + eta * g
        descent.move(V)
        descent.ahead = gamma * V
        lookahead.append(descent.theta - gamma * V)
    run = descent.run(momentum_buffer=V)
    run.lookahead = lookahead
    return run


# A step size for each coordinate


def adagrad(theta, gradient, *, steps, lr, lr_decay=0.0, initial_accumulator_value=0.0, eps=1e-10, **common):
    """Duchi, Hazan and Singer 2011, JMLR 12; torch's form: sqrt(sum) + eps, lr / (1 + (t - 1) lr_decay)."""
    descent = _Descent(theta, gradient, steps, lr, **common)
    G = descent.zeros() + initial_accumulator_value
    for t, eta, g in descent:
        G = G + g**2
        descent.move(eta / (1 + (t - 1) * lr_decay) * g / (np.sqrt(G) + eps))
    return descent.run(sum=G)


def adadelta(theta, gradient, *, steps, lr=1.0, rho=0.9, eps=1e-6, **common):
    """Zeiler 2012, arXiv:1212.5701 (lr = 1 in the paper; RMS[x] = sqrt(E[x^2] + eps))."""
    descent = _Descent(theta, gradient, steps, lr, **common)
    E_g2, E_dx2 = descent.zeros(), descent.zeros()
    for _, eta, g in descent:
        E_g2 = rho * E_g2 + (1 - rho) * g**2
        dx = -np.sqrt(E_dx2 + eps) / np.sqrt(E_g2 + eps) * g
        E_dx2 = rho * E_dx2 + (1 - rho) * dx**2
        descent.move(-eta * dx)
    return descent.run(square_avg=E_g2, acc_delta=E_dx2)


def rmsprop(theta, gradient, *, steps, lr, alpha=0.99, eps=1e-8, momentum=0.0, centered=False, **common):
    """Tieleman and Hinton 2012, Coursera lecture 6.5; centered: Graves 2013, arXiv:1308.0850; eps as torch."""
    descent = _Descent(theta, gradient, steps, lr, **common)
    n, g_bar, b = descent.zeros(), descent.zeros(), descent.zeros()
    for _, eta, g in descent:
        n = alpha * n + (1 - alpha) * g**2
        g_bar = alpha * g_bar + (1 - alpha) * g
        variance = np.maximum(n - g_bar**2, 0.0) if centered else n
        b = momentum * b + g / (np.sqrt(variance) + eps)
        descent.move(eta * b)
    state = {"square_avg": n}
    if momentum > 0:
        state["momentum_buffer"] = b
    if centered:
        state["grad_avg"] = g_bar
    return descent.run(**state)


# The Adam family


def adam(theta, gradient, *, steps, lr, betas=(0.9, 0.999), eps=1e-8, bias_correction=True, **common):
    """Kingma and Ba 2014, arXiv:1412.6980, Algorithm 1; without bias correction m_hat = m and v_hat = v."""
    beta1, beta2 = betas
    descent = _Descent(theta, gradient, steps, lr, **common)
    m, v = descent.zeros(), descent.zeros()
    for t, eta, g in descent:
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat = m / (1 - beta1**t) if bias_correction else m
        v_hat = v / (1 - beta2**t) if bias_correction else v
        descent.move(eta * m_hat / (np.sqrt(v_hat) + eps))
    return descent.run(exp_avg=m, exp_avg_sq=v)


def amsgrad(theta, gradient, *, steps, lr, betas=(0.9, 0.999), eps=1e-8, bias_correction=True, **common):
    """Reddi, Kale and Kumar 2018, ICLR, arXiv:1904.09237; torch's form: maximum of raw v, then corrected."""
    beta1, beta2 = betas
    descent = _Descent(theta, gradient, steps, lr, **common)
    m, v, v_max = descent.zeros(), descent.zeros(), descent.zeros()
    for t, eta, g in descent:
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        v_max = np.maximum(v_max, v)
        m_hat = m / (1 - beta1**t) if bias_correction else m
        v_hat = v_max / (1 - beta2**t) if bias_correction else v_max
        descent.move(eta * m_hat / (np.sqrt(v_hat) + eps))
    return descent.run(exp_avg=m, exp_avg_sq=v, max_exp_avg_sq=v_max)


def adamw(theta, gradient, *, steps, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, decoupled=True, **common):
    """Loshchilov and Hutter 2017, arXiv:1711.05101; torch's form: the decay is scaled by lr."""
    common = {"weight_decay": weight_decay, "decoupled": decoupled, **common}
    return adam(theta, gradient, steps=steps, lr=lr, betas=betas, eps=eps, **common)


def adamax(theta, gradient, *, steps, lr, betas=(0.9, 0.999), eps=1e-8, **common):
    """Kingma and Ba 2014, arXiv:1412.6980, Algorithm 2; torch's form: u = max(beta2 u, |g| + eps)."""
    beta1, beta2 = betas
    descent = _Descent(theta, gradient, steps, lr, **common)
    m, u = descent.zeros(), descent.zeros()
    for t, eta, g in descent:
        m = beta1 * m + (1 - beta1) * g
        u = np.maximum(beta2 * u, np.abs(g) + eps)
        descent.move(eta / (1 - beta1**t) * m / u)
    return descent.run(exp_avg=m, exp_inf=u)


def nadam(theta, gradient, *, steps, lr, betas=(0.9, 0.999), eps=1e-8, momentum_decay=4e-3, **common):
    """Dozat 2016, ICLR workshop; torch's form of the schedule mu_t = beta1 (1 - 0.96^(t psi) / 2)."""
    beta1, beta2 = betas

    def mu(t):
        return beta1 * (1 - 0.5 * 0.96 ** (t * momentum_decay))

    descent = _Descent(theta, gradient, steps, lr, **common)
    m, v, mu_product = descent.zeros(), descent.zeros(), 1.0
    for t, eta, g in descent:
        mu_product = mu_product * mu(t)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat = mu(t + 1) * m / (1 - mu_product * mu(t + 1)) + (1 - mu(t)) * g / (1 - mu_product)
        v_hat = v / (1 - beta2**t)
        descent.move(eta * m_hat / (np.sqrt(v_hat) + eps))
    return descent.run(exp_avg=m, exp_avg_sq=v, mu_product=mu_product)


def radam(theta, gradient, *, steps, lr, betas=(0.9, 0.999), eps=1e-8, rectify_above=5.0, **common):
    """Liu et al. 2019, arXiv:1908.03265, Algorithm 2 (there rectified above 4); eps and 5 as torch."""
    beta1, beta2 = betas
    rho_inf = 2 / (1 - beta2) - 1
    descent = _Descent(theta, gradient, steps, lr, **common)
    m, v = descent.zeros(), descent.zeros()
    for t, eta, g in descent:
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat = m / (1 - beta1**t)
        rho_t = rho_inf - 2 * t * beta2**t / (1 - beta2**t)
        if rho_t > rectify_above:
            l_t = np.sqrt(1 - beta2**t) / (np.sqrt(v) + eps)
            r_t = np.sqrt((rho_t - 4) * (rho_t - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho_t))
            descent.move(eta * r_t * m_hat * l_t)
        else:
            descent.move(eta * m_hat)
    return descent.run(exp_avg=m, exp_avg_sq=v)
