"""Before step 0: what the groups and settings alone give away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from thalweg.lens.finding import Evidence, Finding
from thalweg.lens.given import check
from thalweg.roles import roles

__all__ = ["preflight"]

MOST_TRIED = 100_000  # steps of a schedule that are asked for its warm-up
PULLED = 0.3  # lr * weight_decay * steps: the share by which decay shrinks what nothing holds
SMALL = ("norm", "bias", "vector", "scalar")  # roles without decay, as `thalweg.optim.groups` has them
SHORT_BETA2 = 0.9  # beta1's usual value: a shorter v is noisier than m


def preflight(
    model: nn.Module,
    optimizer: Optimizer,
    steps: int | None = None,
    schedule: Callable[[int], float] | None = None,
) -> list[Finding]:
    """What will go wrong, before anything is trained. Nothing is changed and nothing is run.

    Args:
        model: the model that will be trained.
        optimizer: any torch optimizer, of the model's parameters.
        steps: optimizer steps of the whole run; None leaves out what depends on them.
        schedule: `schedule(step)`, from step 0, gives the factor on lr, as LambdaLR's function does; None: constant.

    Raises:
        ValueError: for what is no model or no optimizer, steps under 1, a schedule that is no function.

    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> print([finding.name for finding in preflight(model, torch.optim.Adam(model[0].parameters()))])
    ['no_group']
    """
    check(optimizer, model, "preflight(model, optimizer): the model")
    if steps is not None and (not isinstance(steps, int) or steps < 1):
        raise ValueError(f"steps: got {steps!r}; must be a whole number, at least 1, or None")
    if schedule is not None and not callable(schedule):
        raise ValueError(
            f"schedule: got a {type(schedule).__name__}; must be a function of the step that gives the factor on lr"
        )
    found = [*_membership(model, optimizer)]
    small = {id(each.parameter) for each in roles(model) if each.role in SMALL}
    for group in optimizer.param_groups:
        found += [*_dtypes(group), *_memory(group, steps, schedule), *_decay(group, steps, small)]
    return _once(found)


def _membership(model: nn.Module, optimizer: Optimizer) -> Iterator[Finding]:
    name = f"{type(optimizer).__module__.split('.')[0]}.optim.{type(optimizer).__name__}"
    inside = {id(p) for group in optimizer.param_groups for p in group["params"]}
    named = dict(model.named_parameters())
    total = sum(p.numel() for p in named.values())
    missing = {key: p for key, p in named.items() if p.requires_grad and id(p) not in inside}
    if missing:
        share = sum(p.numel() for p in missing.values()) / max(total, 1)
        facts: dict[str, Any] = {"count": len(missing), "share": share, "name": name}
        yield Finding("no_group", Evidence.PROOF, facts, tuple(missing))
    own = {id(p) for p in named.values()}
    foreign = sum(id(p) not in own for group in optimizer.param_groups for p in group["params"])
    if foreign:
        yield Finding("not_in_model", Evidence.PROOF, {"count": foreign, "name": name})


def _dtypes(group: dict[str, Any]) -> Iterator[Finding]:
    for dtype in {p.dtype for p in group["params"] if p.dtype in (torch.float16, torch.bfloat16)}:
        short = str(dtype).removeprefix("torch.")
        eps = float(group.get("eps", 0.0) or 0.0) if not isinstance(group.get("eps"), tuple) else 0.0
        if eps and float(torch.tensor(eps, dtype=dtype)) == 0.0:
            yield Finding("eps_vanishes", Evidence.PROOF, {"eps": eps, "dtype": short})
        beta2 = _beta2(group)
        if beta2 is not None and 1 - beta2 < torch.finfo(dtype).eps / 4:
            yield Finding("beta2_stuck", Evidence.PROOF, {"beta2": beta2, "dtype": short})


def _memory(group: dict[str, Any], steps: int | None, schedule: Callable[[int], float] | None) -> Iterator[Finding]:
    beta2 = _beta2(group)
    if beta2 is None:
        return
    memory = 1 / (1 - beta2) if beta2 < 1 else float("inf")
    if beta2 < SHORT_BETA2:
        yield Finding("beta2_too_short", Evidence.RULE_OF_THUMB, {"beta2": beta2, "memory": memory})
    if steps is not None and memory > steps:
        facts = {"beta2": beta2, "memory": memory, "steps": steps, "better": round(max(0.9, 1 - 10 / steps), 4)}
        yield Finding("beta2_memory", Evidence.RULE_OF_THUMB, facts)
    warm = _warm_up(schedule, steps)
    needed = 2 * memory
    if warm is not None and 0 < warm < needed and (steps is None or needed < steps / 4):
        yield Finding("short_warm_up", Evidence.RULE_OF_THUMB, {"warm": warm, "needed": needed})


def _decay(group: dict[str, Any], steps: int | None, small: set[int]) -> Iterator[Finding]:
    """Where it matters: lr x decay x steps is the share that it takes from a scale nothing else moves."""
    decay = group.get("weight_decay") or 0.0
    vectors = [p for p in group["params"] if id(p) in small]
    if not decay or not vectors or len(vectors) == len(group["params"]):
        return
    if steps is not None and float(group["lr"]) * float(decay) * steps > PULLED:
        yield Finding("decay_on_norms", Evidence.RULE_OF_THUMB, {"decay": float(decay), "count": len(vectors)})


def _beta2(group: dict[str, Any]) -> float | None:
    betas = group.get("betas")
    return float(betas[1]) if isinstance(betas, tuple | list) and len(betas) == 2 else None


def _warm_up(schedule: Callable[[int], float] | None, steps: int | None) -> int | None:
    """Steps until the factor stops rising; None without a schedule."""
    if schedule is None:
        return None
    last = min(steps or MOST_TRIED, MOST_TRIED)
    step = 0
    while step + 1 < last and schedule(step + 1) > schedule(step):
        step += 1
    return step


def _once(found: list[Finding]) -> list[Finding]:
    """Groups that share a mistake tell it once; proofs come first."""
    first = {(each.name, tuple(each.facts.items())): each for each in reversed(found)}
    return sorted(reversed(first.values()), key=lambda each: each.evidence is not Evidence.PROOF)
