"""Settings of the optimizer that the run shows to be wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from thalweg.lens.finding import Evidence, Finding
from thalweg.lens.preflight import SMALL
from thalweg.lens.record import Record

RULED = 0.5
LARGE_EPS = 1e-6
SMALL_GRADIENT = 2e-6  # root mean square: eps = 1e-8 is then more than 0.5 % of it
PULLED = 0.2
FORGETS = 0.02  # of a weight at each step; usual are 1e-5 to 1e-3
HARD = 0.15  # of what else moves a parameter; sound runs had at most 0.004, a decay of 0.01, planted 0.29 and more
SHORT_BETA2 = 0.9
OUT_OF_DATE = 15.0  # squared gradients over the second moment; sound runs had at most 12.2, planted 18.6 to 112
IN_A_ROW, SETTLED = 4, 20  # steps
PLATEAU = 0.8  # of the first loss; planted runs stood at 0.6 at most, an LSTM before it began to learn at 0.98


def eps(record: Record) -> Finding | None:
    own = next((s for s in record.settings if isinstance(s.get("eps"), float)), None)
    if own is None or record.steps < 3:
        return None
    steps = list(record.tensors)[:32]
    shares = [share for step in steps if not math.isnan(share := record.mean(step, "ruled_by_eps"))]
    size = sum(record.sizes.values())
    typical = median((record.sum(step, "gradient") / size) ** 0.5 for step in steps)
    share = median(shares) if shares else 0.0
    facts = {"share": share, "eps": own["eps"], "typical": typical, "ratio": own["eps"] / typical if typical else 0.0}
    if own["eps"] > LARGE_EPS and share >= RULED:
        return Finding("eps_too_large", Evidence.PROOF, facts, step=1)
    if not record.resumed and 0 < typical < SMALL_GRADIENT and own["eps"] > 0.005 * typical:
        return Finding("loss_scaled_down", Evidence.RULE_OF_THUMB, facts, step=1)
    return None


def beta2_too_short(record: Record) -> Finding | None:
    short = [b[1] for s in record.settings if isinstance(b := s.get("betas"), tuple | list) and b[1] < SHORT_BETA2]
    if not short:
        return None
    facts = {"beta2": short[0], "memory": 1 / (1 - short[0])}
    return Finding("beta2_too_short", Evidence.RULE_OF_THUMB, facts, step=1)


def decay_too_strong(record: Record) -> Finding | None:
    """Where decay takes so much at each step that weights forget within a few dozen."""
    for s in record.settings:
        share = float(s.get("weight_decay") or 0.0) * float(s["lr"])
        if share > FORGETS and (s.get("decoupled_weight_decay") or "betas" not in s):
            facts = {"decay": float(s["weight_decay"]), "share": share, "memory": 1 / share}
            return Finding("decay_too_strong", Evidence.RULE_OF_THUMB, facts, step=1)
    return None


def decay_on_norms(record: Record) -> Finding | None:
    """Where lr x decay over all steps takes a good part of what nothing else holds, beside weights in one group, and
    decay is not small beside what the loss does to it: else it would take thousands of steps, and be held."""
    for s in record.settings:
        decay = float(s.get("weight_decay") or 0.0)
        small = tuple(name for name in s["names"] if record.roles.get(name) in SMALL)
        share = float(s["lr"]) / float(record.settings[0]["lr"]) if record.settings[0]["lr"] else 1.0
        if not (small and len(small) < len(s["names"]) and decay * share * sum(record.rates) > PULLED):
            continue
        if _pull(record, small, decay, share if s.get("decoupled_weight_decay") else None) > HARD:
            facts = {"decay": decay, "count": len(small)}
            return Finding("decay_on_norms", Evidence.RULE_OF_THUMB, facts, small, 1)
    return None


def _pull(record: Record, names: Sequence[str], decay: float, share: float | None) -> float:
    """What decay takes of some parameters over what else moves them, in the second half of the run.

    Args:
        share: of the group's rate in the first group's, where decay is apart from the gradient.
    """
    found = []
    for step in list(record.tensors)[len(record.tensors) // 2 :]:
        row = record.tensors[step]
        own = [row[name] for name in names if name in row]
        weight = sum(each.weight for each in own) ** 0.5
        taken = decay * weight * (1.0 if share is None else share * record.rates[step - 1])
        other = sum(each.gradient if share is None else each.step for each in own) ** 0.5
        if other > 0:
            found.append(taken / other)
    return median(found) if found else 0.0


def beta2_too_long(record: Record) -> Finding | None:
    """The gradients outgrow the second moment for several steps, so that these are too long.

    A second moment is a mean of what the steps' energies were: it needs no look at the optimizer's state.
    """
    betas = next((s["betas"] for s in record.settings if isinstance(s.get("betas"), tuple | list)), None)
    if betas is None or betas[1] < 0.98 or record.begins_at_zero:
        return None
    beta2, mean, last, ratios = float(betas[1]), 0.0, 0, {}
    for step, energy in record.energies.items():
        expected = mean / (1 - beta2**last) if last else 0.0
        ratios[step] = energy / expected if expected > 0 else math.nan
        faded = beta2 ** (step - last)
        mean, last = faded * mean + (1 - faded) * energy, step
    settled = [(step, ratio) for step, ratio in ratios.items() if step >= SETTLED]
    for place in range(len(settled) - IN_A_ROW + 1):
        lag = median(ratio for _, ratio in settled[place : place + IN_A_ROW])
        if lag > OUT_OF_DATE and not _leaves_a_plateau(record, settled[place][0]):
            facts = {"ratio": lag, "beta2": beta2}
            return Finding("beta2_too_long", Evidence.RULE_OF_THUMB, facts, step=settled[place][0])
    return None


def _leaves_a_plateau(record: Record, step: int) -> bool:
    """Whether the loss stood where it began and falls from that step on: gradients grow where learning begins."""
    curve = record.curve()
    before = [loss for at, loss in curve if at < step][-5:]
    after = [loss for at, loss in curve if at >= step][:5]
    return bool(before and after) and median(before) > PLATEAU * curve[0][1] and median(after) < median(before)
