"""The first door: a saved state, and what is wrong with the run it came from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from thalweg.lens.finding import MOST, Evidence, Finding
from thalweg.lens.saved_state import Saved, parameters
from thalweg.lens.state_file import model_weights, optimizer_state

# Chosen on the digits (64-64-10, ReLU, torch.optim.Adam, 400 steps): see docs/lens.md.
DEAD = 0.3  # of a layer's units; sound runs had 0.02 to 0.06, and 0.20 after 1,500 steps at lr = 1e-2; planted 0.41
RULED_BY_EPS = 0.5  # of the elements; sound: at most 0.001
SMALL = (
    30  # times eps: the median root of v; 1.5e5 and more in sound runs, 7 to 10 where the loss was divided by 64,000
)
LOST = 0.8  # of the steps; bfloat16 weights had 0.87, float32 weights 0.00
LARGE_EPS = 1e-6  # above it eps is the cause; below it the gradients are too small
NAMED = 4  # layers that a finding lists


def checkpoint(path: str | Path, model: str | Path | None = None) -> list[Finding]:
    """What the state in a checkpoint gives away, the cause before its symptoms.

    Args:
        path: a file of torch.save with an optimizer's state_dict, alone or in a checkpoint; or a folder of one.
        model: a file with the model's weights; None where the checkpoint holds them, or where there are none.

    Raises:
        ValueError: for a file without an optimizer's state, naming what it holds.
    """
    return diagnose(read(path, model))


def diagnose(saved: Sequence[Saved]) -> list[Finding]:
    """The first few findings, the cause before its symptoms."""
    looks = (_not_finite, _dead, _lost, _eps)
    return [finding for look in looks if (finding := look(saved)) is not None][:MOST]


def read(path: str | Path, model: str | Path | None = None) -> list[Saved]:
    """The parameters in a checkpoint, with their weights where there are any; as `checkpoint` takes them."""
    state, weights = optimizer_state(Path(path))
    if model is not None:
        weights = model_weights(Path(model))
    saved = parameters(state, weights)
    if model is not None and all(each.weight is None for each in saved):
        raise ValueError(
            f"model: {model} has other parameters than the checkpoint, in number or shape; must have the weights that "
            "its optimizer trains"
        )
    return saved


def lacks_weights(saved: Sequence[Saved]) -> bool:
    """Whether rounding may matter, and cannot be judged: the state is in half precision, and no weights are there."""
    halves = any(each.dtype in (torch.float16, torch.bfloat16) for each in saved)
    return halves and all(each.weight is None for each in saved)


def _not_finite(saved: Sequence[Saved]) -> Finding | None:
    bad = [each for each in saved if any(t is not None and not t.isfinite().all() for t in (each.first, each.second))]
    if not bad:
        return None
    return Finding("not_finite", Evidence.PROOF, {"tensors": len(bad)}, _names(bad))


def _dead(saved: Sequence[Saved]) -> Finding | None:
    """Units whose weights, and whose bias or whose columns in a later layer, have zero gradients.

    One of them alone is no dead unit: an embedding's row of a word that never came has zero gradients too.
    """
    found, dead, units = [], 0, 0
    for place, layer in enumerate(saved):
        rows = layer.still_rows
        if rows is None or len(layer.shape) < 2 or rows.all() or not rows.any():
            continue
        after = saved[place + 1 : place + 5]
        witnesses = [each.still for each in after if each.shape == (len(rows),)]
        witnesses += [each.still_columns for each in after if len(each.shape) > 1 and each.shape[1] == len(rows)]
        both = [rows & each for each in witnesses if each is not None]
        count = max((int(each.sum()) for each in both), default=0)
        if count >= max(2, DEAD * len(rows)):
            found.append(layer)
            dead, units = dead + count, units + len(rows)
    if not found:
        return None
    return Finding("dead_units", Evidence.PROOF, {"dead": dead, "units": units, "share": dead / units}, _names(found))


def _lost(saved: Sequence[Saved]) -> Finding | None:
    shares = {each.name: each.lost_share for each in saved if float(each.group["lr"]) > 0}
    sizes = {each.name: each.first.numel() for each in saved if each.first is not None}
    known = {name: share for name, share in shares.items() if share is not None}
    total = sum(sizes[name] for name in known)
    share = sum(share * sizes[name] for name, share in known.items()) / total if total else 0.0
    if share < LOST:
        return None
    dtypes = {each.weight.dtype for each in saved if each.weight is not None}
    dtype = ", ".join(sorted(str(each).removeprefix("torch.") for each in dtypes))
    return Finding("lost_to_rounding", Evidence.PROOF, {"share": share, "dtype": dtype})


def _eps(saved: Sequence[Saved]) -> Finding | None:
    """Where eps is larger than the root of v the step is lr * m / eps: gradient descent with a tiny rate."""
    ruled = count = 0
    eps, scales = 0.0, []
    for each in saved:
        scale = each.scale
        if scale is None or "eps" not in each.group:
            continue
        moving = scale > 0
        ruled += int((scale[moving] < float(each.group["eps"])).sum())
        count += int(moving.sum())
        eps = max(eps, float(each.group["eps"]))
        scales.append(scale[moving])
    if not count:
        return None
    typical = float(torch.cat([each.flatten() for each in scales]).median())
    facts = {"share": ruled / count, "eps": eps, "typical": typical, "ratio": eps / typical}
    if eps > LARGE_EPS:
        return Finding("eps_too_large", Evidence.PROOF, facts) if ruled / count >= RULED_BY_EPS else None
    return Finding("loss_scaled_down", Evidence.RULE_OF_THUMB, facts) if typical < SMALL * eps else None


def _names(saved: Sequence[Saved]) -> tuple[str, ...]:
    return tuple(each.name for each in saved)
