"""The engine for JavaScript: the bits of `reference`, whatever the gradients, the settings and the stages."""

import numpy as np
import pytest
from play.bits import wild
from play.engine import by_reference, context, in_javascript, translated

from thalweg.catalogue import CATALOGUE

ENTRIES = translated()
TRANSFORMS = [
    {"weight_decay": 0.03, "maximize": True},
    {"weight_decay": 0.03, "decoupled_weight_decay": True, "gradient_scale": 0.3},
    {"cautious": True, "weight_decay": 0.01},
]


@pytest.fixture(scope="module")
def v8():
    return context(entry.rule for entry in ENTRIES)


def both(v8, entry, precision, settings, steps=300):
    given = {**entry.settings, **settings}
    if entry.rule.decay == "own":
        given.pop("decoupled_weight_decay", None)
    gradients = wild(steps, 2, f"float{precision[1:]}")
    ours = in_javascript(v8, entry.name, precision, [1.0, -0.7], given, gradients)
    return ours, by_reference(entry, precision, [1.0, -0.7], given, gradients)


def test_all_but_those_of_matrices_are_translated():
    missing = {name for name in CATALOGUE} - {entry.name for entry in ENTRIES}
    assert missing == {"adafactor", "adafactor_momentum", "muon", "shampoo", "soap", "adahessian", "sparse_adam"}


@pytest.mark.parametrize("settings", [{}, *TRANSFORMS], ids=lambda settings: "+".join(settings) or "plain")
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_float32_has_the_bits_of_reference(v8, entry, settings):
    ours, theirs = both(v8, entry, "f32", settings)
    assert np.array_equal(ours, theirs, equal_nan=True)


@pytest.mark.parametrize("settings", [{}, *TRANSFORMS], ids=lambda settings: "+".join(settings) or "plain")
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_float64_is_within_1e_12(v8, entry, settings):
    ours, theirs = both(v8, entry, "f64", settings)
    assert np.allclose(ours, theirs, rtol=1e-12, atol=1e-12, equal_nan=True)
