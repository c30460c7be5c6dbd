"""A rule of one's own: it has the same bits, and what JavaScript cannot say is refused with its line."""

import textwrap

import numpy as np
import pytest
from play.engine import by_reference, context, in_javascript

from thalweg import RuleError
from thalweg.engines import javascript
from thalweg.play.command import entry, find, write

LION = """
import math
import torch
from thalweg import Rule
from thalweg.rule.hyperparameters import Betas, Rate
from thalweg.rule.words import maximum, sign, sqrt, where

def per_step(step, old=0.0, *, lr: Rate = 1e-2, betas: Betas = (0.9, 0.99)):
    warm = lr * step / 10 if step < 10 else lr
    return {"new": warm, "beta1": betas[0], "beta2": betas[1], "old": (old + warm) / 2}

def per_element(p, g, m, *, new, beta1, beta2):
    half = 1 - beta1
    u = sign(beta1 * m + half * g) * where(g > 0.1, 1.0, 0.7)
    m = beta2 * m + (1 - beta2) * where(new > 0.005, g, 0.3)
    p = p - new * u / maximum(sqrt(g * g + 0.1), 2.0) - 1e-3 / (1.0 + m * m)
    return p, m

lion = Rule(name="my_lion", title="", source="", per_step=per_step, per_element=per_element)

def whole(step, *, lr: Rate = 1e-2):
    return {"lr": lr}

def by_norm(p, g, state, *, lr):
    scale = torch.nn.functional.softmax(g, 0)
    return {"scale": scale.sum()}

def scaled(p, g, *, lr, scale):
    p = p - lr * scale * g
    return p

softmax = Rule(name="soft", title="", source="", per_step=whole, per_tensor=by_norm, per_element=scaled,
               measures=("scale",))

def table(step, *, lr: Rate = 1e-2):
    return {"lr": [lr, lr / 2][int(step) % 2]}

def plain(p, g, *, lr):
    p = p - lr * g
    return p

looked_up = Rule(name="looked_up", title="", source="", per_step=table, per_element=plain)
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "my_rule.py"
    path.write_text(textwrap.dedent(LION))
    return path


@pytest.mark.parametrize("precision", ["f32", "f64"])
def test_a_rule_of_ones_own_has_the_same_bits(file, precision):
    rule = find(f"{file}:lion")
    dtype = {"f32": np.float32, "f64": np.float64}[precision]
    gradients = np.random.default_rng(1).standard_normal((300, 2)).astype(dtype)
    ours = in_javascript(context([rule]), rule.name, precision, [1.0, -0.7], {}, gradients)
    assert np.array_equal(ours, by_reference(entry(rule), precision, [1.0, -0.7], {}, gradients))


@pytest.mark.parametrize(
    ("name", "line", "why"), [("softmax", "softmax(g, 0)", "softmax"), ("looked_up", "int(step)", "float")]
)
def test_what_javascript_cannot_say_is_refused_with_its_line(file, name, line, why):
    number = 1 + next(place for place, text in enumerate(LION.splitlines()) if line in text)
    with pytest.raises(RuleError) as refused:
        javascript.functions(find(f"{file}:{name}"))
    assert f"{file}:{number}: " in str(refused.value) and why in str(refused.value) and line in str(refused.value)


def test_a_rule_named_as_one_of_the_catalogues_is_ones_own():
    from thalweg.rules.adam import adam

    assert entry(adam).name == "my_adam" and entry(adam).rule.equations == adam.equations


def test_two_rules_of_one_name_are_refused(file, tmp_path):
    with pytest.raises(ValueError, match="two of yours are named 'my_lion'; give one another"):
        write(tmp_path / "page.html", [f"{file}:lion", "thalweg.rules.lion:lion"])
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize("spec", ["my_rule.py", "nowhere.py:lion", "no.such.module:lion", "thalweg.rules.adam:nothing"])
def test_what_is_no_rule_is_refused(spec):
    with pytest.raises(ValueError, match="rule: "):
        find(spec)
