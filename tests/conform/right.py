"""An optimizer that keeps every law."""

from __future__ import annotations

import copy
import itertools

import torch

HALVES = (torch.bfloat16, torch.float16)


class Right(torch.optim.Optimizer):
    """Adam, plain and slow. What halves lose in rounding is kept in the state."""

    def __init__(self, params, lr=0.01, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, maximize=False):
        super().__init__(
            params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        )

    def add_param_group(self, group):
        for name in group.keys() - {*self.defaults, "params"}:
            raise ValueError(f"unknown setting {name}")
        lr = group.setdefault("lr", self.defaults["lr"])
        if not lr >= 0:
            raise ValueError(f"lr: got {lr}; must be 0 or more")
        group["lr"] = lr.clone() if isinstance(lr, torch.Tensor) else lr
        super().add_param_group(group)
        params = [p for each in self.param_groups for p in each["params"]]
        for p in params:
            if p.numel() and 0 in [stride for size, stride in zip(p.shape, p.stride(), strict=False) if size > 1]:
                raise ValueError("elements share memory")
        for a, b in itertools.combinations([p for p in params if p.numel() and not p.is_meta], 2):
            if max(span(a)[0], span(b)[0]) < min(span(a)[1], span(b)[1]):
                raise ValueError("parameters share memory")

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self.update(p, self.gradient(p, group), group)
        return loss

    def gradient(self, p, group):
        if p.grad.is_sparse:
            raise RuntimeError("sparse gradients are not supported")
        g = self.read(p).detach()
        g = g.float() if g.dtype in HALVES else g
        return -g if group["maximize"] else g

    def read(self, p):
        return p.grad

    def update(self, p, g, group):
        if p.is_complex():
            raise RuntimeError("complex parameters are not supported")
        state = self.state[p]
        if not state:
            self.start(p, g, state)
        state["step"] += 1
        beta1, beta2 = group["betas"]
        g = g + group["weight_decay"] * p
        state["m"].mul_(beta1).add_(g, alpha=1 - beta1)
        state["v"].mul_(beta2).add_(g * g, alpha=1 - beta2)
        size = self.rate(group) / (1 - beta1 ** float(state["step"]))
        move = size * state["m"] / ((state["v"] / (1 - beta2 ** float(state["step"]))).sqrt() + group["eps"])
        self.write(p, self.shaped(p, move), state)

    def start(self, p, g, state):
        state.update(step=torch.tensor(0.0, dtype=torch.float32), m=torch.zeros_like(g), v=torch.zeros_like(g))
        if p.dtype in HALVES:
            state["lost"] = torch.zeros_like(g)

    def rate(self, group):
        return group["lr"]

    def shaped(self, p, move):
        return move

    def write(self, p, move, state):
        if p.dtype in HALVES:
            exact = p.float() + state["lost"] - move
            p.copy_(exact)
            state["lost"].copy_(exact - p.float())
        else:
            p.sub_(move)

    def load_state_dict(self, state_dict):
        before = [dict(group) for group in self.param_groups]
        super().load_state_dict(copy.deepcopy(state_dict))
        params = [p for group in self.param_groups for p in group["params"]]
        for place, state in state_dict["state"].items():
            self.state[params[place]] = copy.deepcopy(state)
        for group, old in zip(self.param_groups, before, strict=True):
            group.update({name: value for name, value in old.items() if name not in group})


def span(p: torch.Tensor) -> tuple[int, int]:
    """First and last address."""
    last = sum((size - 1) * stride for size, stride in zip(p.shape, p.stride(), strict=False))
    return p.data_ptr(), p.data_ptr() + (last + 1) * p.element_size()
