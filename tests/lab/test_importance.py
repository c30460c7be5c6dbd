"""What mattered in a search, against searches of which one knows it."""

from __future__ import annotations

import numpy as np

from thalweg.lab.judging.importance import LEAST, importances

RANGES = {"lr": {"low": 1e-4, "high": 1.0}, "drop": {"low": 0.0, "high": 0.5, "linear": True},
          "kind": {"low": 0, "high": 2, "options": ["a", "b", "c"]}}  # fmt: skip


def search(count, end):
    draw = np.random.default_rng(0)
    tried = []
    for _ in range(count):
        values = {"lr": float(10 ** draw.uniform(-4, 0)), "drop": float(draw.uniform(0, 0.5)),
                  "kind": str(draw.choice(["a", "b", "c"]))}  # fmt: skip
        tried.append((values, end(values)))
    return tried


def test_what_decides_alone_has_nearly_all():
    for name, end in (
        ("lr", lambda v: (np.log10(v["lr"]) + 2) ** 2),
        ("drop", lambda v: v["drop"] ** 2),
        ("kind", lambda v: float(v["kind"] == "b")),
    ):
        found = importances(search(80, end), RANGES)
        assert next(iter(found)) == name and found[name] > 0.8, (name, found)
        assert abs(sum(found.values()) - 1) < 1e-6


def test_too_little_to_tell_is_nothing():
    assert importances(search(LEAST - 1, lambda v: v["lr"]), RANGES) == {}
    assert importances(search(40, lambda v: 1.0), RANGES) == {}
    assert importances(search(40, lambda v: v["lr"]), {"lr": RANGES["lr"]}) == {}
    assert importances([(v, float("nan")) for v, _ in search(40, lambda v: 1.0)], RANGES) == {}
