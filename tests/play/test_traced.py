"""A step by its own lines: their values are what the step leaves, and what `per_step` returns."""

import json
from pathlib import Path

import pytest
from play.engine import context, translated

from thalweg.engines.javascript import traced

RULES = [entry.rule for entry in translated()]


@pytest.fixture(scope="module")
def v8():
    return context(RULES, traced.script(RULES))


def test_the_lines_of_a_step_are_the_step(v8):
    """Every rule, ten steps, with and without decay, three coordinates."""
    wrong, lines = json.loads(v8.eval((Path(__file__).parent / "scripts" / "lines.js").read_text(encoding="utf-8")))
    assert wrong == []
    assert lines > 10_000


def told(v8, rule, settings, steps):
    """The last of so many steps under a gradient of 1: its lines' values by name, where they have one."""
    v8.eval(f"var run = start({json.dumps(rule)}, 'f64', [0], {json.dumps(settings)})")
    v8.eval(f"for (let t = 1; t < {steps}; t++) {{ run.g[0] = 1; advance(run); }} run.g[0] = 1;")
    lines = json.loads(v8.eval("JSON.stringify(trace(run, 0))"))
    return {line["name"]: line["value"] for line in lines if line["value"] is not None}


def test_what_per_step_names_is_told_too(v8):
    """RAdam's rho_t and r_t, which its numbers do not hold."""
    fifth = told(v8, "radam", {"rectify_above": 4}, 5)
    assert fifth["rho"] == pytest.approx(4.99, abs=0.01) and fifth["r"] == pytest.approx(0.0173, abs=5e-5)
    assert told(v8, "radam", {"rectify_above": 5}, 5)["r"] == 0
    assert told(v8, "radam", {"rectify_above": 4}, 100)["r"] == pytest.approx(0.215, abs=5e-4)


def test_tracing_changes_nothing(v8):
    """Steps with a look between them are the same steps, in the rule that carries most along."""
    text = """(look => {
      const run = start("prodigy", "f64", [1, 2], {});
      for (let t = 0; t < 9; t++) { run.g.set([t - 4, 1]); if (look) trace(run, 1); advance(run); }
      return JSON.stringify([...run.p]);
    })"""
    assert v8.eval(f"{text}(true)") == v8.eval(f"{text}(false)") != "[1,2]"


def test_lines_are_the_rules_own():
    assert traced.step_lines(next(rule for rule in RULES if rule.name == "adam"))[-2:] == [
        ("alpha", "alpha = lr / unbias1"),
        ("root", "root = 1 / unbias2 ** 0.5"),
    ]
