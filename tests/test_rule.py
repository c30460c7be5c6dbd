"""A wrong definition is refused when it is defined, with the line and the reason; a right one is first-class."""

import importlib
import itertools
import pickle
import sys
from typing import Annotated

import pytest
import torch
from subjects import gradients, parameters, run

import thalweg
from thalweg import Rule, RuleError
from thalweg.catalogue import Entry
from thalweg.rule.equations import Program, read
from thalweg.rule.hyperparameters import Rate, Search, Switch
from thalweg.rule.words import sqrt

HEAD = """
from math import cos
import math
from thalweg.rule.hyperparameters import Rate
from thalweg.rule.words import sqrt, where, maximum
FACTOR = 2.0
def per_step(step, *, lr: Rate = 0.1):
    return {"lr": lr}
"""
GOOD = "def per_element(p, g, m, *, lr):\n    m = m + g\n    p = p - lr * m\n    return p, m\n"


@pytest.fixture
def define(tmp_path, monkeypatch):
    """Write a definition to a file, as an author would, and make it a rule."""
    monkeypatch.syspath_prepend(tmp_path)
    count = iter(range(100))

    def make(element: str, head: str = HEAD, **fields) -> Rule:
        name = f"defined_{next(count)}"
        (tmp_path / f"{name}.py").write_text(head + element)
        sys.modules.pop(name, None)
        importlib.invalidate_caches()
        module = importlib.import_module(name)
        arguments = {"name": "mine", "title": "Mine", "source": "me", **fields}
        return Rule(per_step=module.per_step, per_element=module.per_element, **arguments)

    return make


BODIES = [
    ("    p = p - lr * cosine(g)\n    return p, m", 10, "unknown word 'cosine'; the words are abs, exp, log"),
    ("    p = p - lr * math.cos(g)\n    return p, m", 10, "unknown word 'math.cos'"),
    ("    p = p - lr * momentum\n    return p, m", 10, "'momentum' is not known here; the names are g, lr, m, p"),
    ("    p = p - lr * FACTOR * g\n    return p, m", 10, "'FACTOR' is not known here"),
    (
        "    m = m + g\n    p = p - lr * m\n    return p",
        12,
        "'m' is never returned: the last line must be 'return p, m'",
    ),
    ("    return m, p", 10, "the order differs from the arguments'"),
    ("    p = p - lr * g", 10, "the last line must return the new values"),
    (
        "    if g > 0:\n        p = p - lr\n    return p, m",
        10,
        "a branch: every element takes the same path; use where",
    ),
    ("    p = p - (lr if g > 0 else 0.0)\n    return p, m", 10, "a branch"),
    ("    for _ in range(3):\n        p = p - lr * g\n    return p, m", 10, "a loop"),
    ("    while g > 0:\n        p = p - lr\n    return p, m", 10, "a loop"),
    ("    p -= lr * g\n    return p, m", 10, "write p = p - ... instead of p -= ..."),
    ("    p = p - lr * g ** 2\n    return p, m", 10, "a power: write g * g"),
    ("    p = p - lr * g.sqrt()\n    return p, m", 10, "unknown word 'g.sqrt'"),
    ("    p = p - lr * g.real\n    return p, m", 10, "an attribute or method"),
    ("    p = p - lr * g[0]\n    return p, m", 10, "an index"),
    ("    p = p - lr * (g > 0)\n    return p, m", 10, "a comparison is not a number"),
    ("    p = p - where(g, 1.0, 2.0)\n    return p, m", 10, "the first argument of where is a comparison"),
    ("    p = p - where(0 < g < 1, 1.0, 2.0)\n    return p, m", 10, "a comparison has two sides"),
    (
        "    p = p - where(g > 0 and m > 0, 1.0, 2.0)\n    return p, m",
        10,
        "the first argument of where is a comparison",
    ),
    ("    p = p - sqrt(g, m)\n    return p, m", 10, "sqrt takes 1 plain argument"),
    ("    p = p - maximum(g)\n    return p, m", 10, "maximum takes 2 plain arguments"),
    ("    p = p - (lr @ g)\n    return p, m", 10, "only + - * /"),
    ("    p = p - lr * 'g'\n    return p, m", 10, "'g' is not a number"),
    ("    p, m = p - lr * g, g\n    return p, m", 10, "a line of the form name = expression"),
    ("    sqrt = g\n    return p, m", 10, "'sqrt' cannot be a name here"),
    ("    _x = g\n    return p, m", 10, "'_x' cannot be a name here"),
    ("    m = 0.5 * lr\n    return p, m", 10, "'m' would be one number for all elements; it must come from a tensor"),
    ("    a = 2.0\n    p = a\n    return p, m", 11, "'p' would be one number for all elements"),
    ("    p = p - sqrt(lr) * g\n    return p, m", 10, "sqrt of numbers alone: work it out in per_step"),
    ("    p = p - maximum(lr, 0.1) * g\n    return p, m", 10, "maximum of numbers alone"),
    ("    p = p - lr * [g]\n    return p, m", 10, "an equation cannot hold '[g]'"),
]


@pytest.mark.parametrize(("body", "line", "reason"), BODIES, ids=[reason for _, _, reason in BODIES])
def test_a_wrong_equation_is_refused_with_its_line_and_the_reason(define, body, line, reason):
    with pytest.raises(RuleError) as told:
        define(f"def per_element(p, g, m, *, lr):\n{body}\n")
    assert f".py:{line}: " in str(told.value) and reason in str(told.value)
    assert body.splitlines()[line - 10].strip() in str(told.value)


def test_a_word_of_another_library_is_refused(define):
    head = HEAD.replace("from math import cos", "from math import exp")
    with pytest.raises(RuleError, match="'exp' is not thalweg's word here: write 'from thalweg.rule.words import exp'"):
        define("def per_element(p, g, *, lr):\n    p = p - lr * exp(g)\n    return p\n", head)


SIGNATURES = [
    ("def per_element(p, g, m=0, *, lr):\n    return p, m\n", "no defaults and no"),
    ("def per_element(p, *, lr):\n    return p\n", "the first two arguments are the parameter and its gradient"),
    ("def per_element(p, g, *states, lr):\n    return p\n", "no defaults and no"),
    ("def per_element(p, g, *, lr, beta):\n    return p\n", "per_step does not return 'beta'; it returns lr"),
    ("def per_element(p, g):\n    return p\n", "per_step returns 'lr', which per_element does not take"),
    ("per_element = lambda p, g, *, lr: p\n", "made with def"),
]


@pytest.mark.parametrize(("element", "reason"), SIGNATURES, ids=[reason for _, reason in SIGNATURES])
def test_a_wrong_signature_is_refused(define, element, reason):
    with pytest.raises(RuleError, match=reason):
        define(element)


STEPS = [
    ("def per_step(step, *, lr=0.1):\n    return {'lr': lr}\n", "'lr' of per_step needs a default and an annotation"),
    ("def per_step(step, *, lr: Rate):\n    return {'lr': lr}\n", "'lr' of per_step needs a default and an annotation"),
    ("def per_step(*, lr: Rate = 0.1):\n    return {'lr': lr}\n", "the first argument of per_step is 'step'"),
    ("def per_step(step, carry, *, lr: Rate = 0.1):\n    return {'lr': lr}\n", "'carry' needs its first value"),
    ("def per_step(step, *, lr: Rate = 0.1):\n    return [lr]\n", "per_step returns list, not a dict"),
]


@pytest.mark.parametrize(("per_step", "reason"), STEPS, ids=[reason for _, reason in STEPS])
def test_a_wrong_per_step_is_refused(define, per_step, reason):
    with pytest.raises(RuleError, match=reason):
        define(GOOD, HEAD + per_step)


FIELDS = [
    ({"torch_names": {"x": "exp_avg"}}, "'x' is no state; the states are m"),
    ({"initial": {"m": "start"}}, "'m' starts at 'start', which is no hyperparameter"),
    ({"decay": "both"}, "decay is 'both'; allowed are 'coupled', 'decoupled', 'own'"),
]


@pytest.mark.parametrize(("fields", "reason"), FIELDS, ids=[reason for _, reason in FIELDS])
def test_a_wrong_field_is_refused(define, fields, reason):
    with pytest.raises(RuleError, match=reason):
        define(GOOD, **fields)


def test_a_function_without_source_is_refused():
    space: dict = {}
    exec("def per_element(p, g, *, lr):\n    return p\n", space)
    with pytest.raises(RuleError, match="its source cannot be read"):
        read(space["per_element"])


def test_only_a_rule_makes_an_optimizer(define):
    with pytest.raises(TypeError, match="'adam' is not a Rule"):
        thalweg.optimizer("adam")
    with pytest.raises(ValueError, match="the first rule is the one chosen when no switch is on"):
        thalweg.optimizer(define(GOOD, when=("on",)))


# -- numbers and tensors part ------------------------------------------------------------------------------------------


def halves(p, g, m, *, a, b):
    half = a / 2
    m = (1 - half) * m + half * g * 3
    p = p - b * m - 0.5 * half
    return p, m


def test_what_needs_no_tensor_is_worked_out_once_in_double_precision():
    program = Program([read(halves)])
    assert program.lines == ["m = __s0 * m + __s1 * g * __s2", "p = p - __s3 * m - __s4"]
    assert [program.explain(index) for index in range(5)] == ["1 - a / 2", "a / 2", "3", "b", "0.5 * (a / 2)"]
    assert program.row([{"a": 0.001, "b": 7.0}]) == (1 - 0.0005, 0.0005, 3, 7.0, 0.5 * 0.0005)
    assert program.written == ("p", "m")


# -- a rule of the user's own ------------------------------------------------------------------------------------------


def own_step(step, *, lr: Annotated[Rate, Search(1e-4, 1.0)] = 0.1, damped: Switch = False):
    return {"eta": lr / (1 + step if damped else 1)}


def own_element(w, grad, s, *, eta):
    s = 0.5 * s + grad * grad
    w = w - eta * grad / (sqrt(s) + 1e-3)
    return w, s


OWN = Rule(name="own_rule", title="The user's own", source="the user", per_step=own_step, per_element=own_element)
OwnRule = thalweg.optimizer(OWN)


@pytest.mark.parametrize("engine", ["reference", "cpu", "cuda"])
def test_a_users_rule_runs_on_every_engine(engine, monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    [p] = parameters([(20,)], torch.float32)
    w, s = p.detach().clone(), torch.zeros(20)
    given = gradients([(20,)], 8, torch.float32)
    optimizer = OwnRule([p], damped=True, weight_decay=0.2, engine=engine)
    for step, (g,) in enumerate(given, start=1):
        g = g + 0.2 * w
        s = 0.5 * s + g * g
        w = w - 0.1 / (1 + step) * g / (s.sqrt() + 1e-3)
    run(optimizer, given)
    assert torch.allclose(p, w, rtol=1e-5, atol=1e-6)


def counted_step(step, count=0.0, *, lr: Rate = 0.1, counted: Switch = False):
    return {"eta": lr * (count + 1), "count": count + 1}


def counted_element(w, grad, s, *, eta):
    s = s + grad
    w = w - eta * s
    return w, s


COUNTED = Rule(
    name="counted", title="-", source="-", per_step=counted_step, per_element=counted_element, when=("counted",)
)
OwnOrCounted = thalweg.optimizer(OWN, COUNTED, name="OwnOrCounted")


def test_a_number_carried_by_one_rule_is_no_concern_of_another():
    """Two groups of one class, of which one carries a number: each goes as it goes alone."""
    given = gradients([(4,), (3,)], 5, torch.float32)
    a, b = parameters([(4,), (3,)], torch.float32)
    run(OwnOrCounted([{"params": [a]}, {"params": [b], "counted": True}]), given)
    x, y = parameters([(4,), (3,)], torch.float32)
    run(OwnRule([x]), [[g[0]] for g in given])
    s = torch.zeros(3)
    w = y.detach()
    for count, (_, g) in enumerate(given, start=1):
        s = s + g
        w = w - 0.1 * count * s
    assert torch.equal(a, x) and torch.allclose(b, w, rtol=1e-5, atol=1e-6)


def test_a_users_class_is_a_drop_in():
    assert OwnRule.__name__ == "OwnRule" and OwnRule.__module__ == __name__
    p = torch.nn.Parameter(torch.ones(3))
    optimizer = OwnRule([{"params": [p], "lr": 0.5}])
    p.grad = torch.ones(3)
    optimizer.step()
    again = pickle.loads(pickle.dumps(optimizer))
    assert again.param_groups[0]["lr"] == 0.5
    assert optimizer.state_dict()["state"][0].keys() == {"s", "step"}
    with pytest.raises(ValueError, match="Invalid learning rate: -1"):
        OwnRule([p], lr=-1)
    with pytest.raises(TypeError, match="OwnRule: .*; the settings are lr, damped, weight_decay"):
        OwnRule([p], rate=1)
    entry = Entry.of(OwnRule)
    assert entry.search("lr") == (1e-4, 1.0) and entry.default("lr") == 0.1


UNFIT = [
    'quo"te', "quo'te", 'a"""\nimport os\n"""', "two\nlines", "nul\0", "../up", "a/b", "a\\b", "tab\t", "\x1b[31mred",
    "{name}", "", " ", "-option", ".hidden", "x" * 101, "\ud800", 7, None,
]  # fmt: skip


@pytest.mark.parametrize("name", UNFIT, ids=ascii)
def test_a_name_that_could_not_stand_in_a_file_or_its_name_is_refused(define, name):
    with pytest.raises(RuleError, match="^name=.*: a rule's name is at most 100 letters, digits, spaces and any of"):
        define(GOOD, name=name)


@pytest.mark.parametrize("name", ["adam-w", "Nesterov 1983", "шаг 2", "ａdam", "v1.5+"])
def test_a_name_of_other_letters_works_to_the_kernel(define, name):
    p = torch.nn.Parameter(torch.ones(3))
    p.grad = torch.ones(3)
    thalweg.optimizer(define(GOOD, name=name), name="Mine")([p], engine="cpu").step()
    assert p.tolist() == pytest.approx([0.9] * 3)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        *[("title", "two\nlines"), ("source", "two\nlines")],
        *itertools.product(["title", "source", "departures"], ["\x1b[31mred", "bell\a", "\ud800", b"bytes", None]),
    ],
    ids=ascii,
)
def test_texts_that_are_printed_are_printable(define, field, text):
    with pytest.raises(RuleError, match=f"rule 'mine': {field}=.* must be (one line|lines) of printable text"):
        define(GOOD, **{field: text})


def test_a_rule_in_greek_letters_is_compiled(define):
    """A kernel's file is UTF-8, whatever the locale."""
    text = "def per_element(θ, g, μ, *, lr):\n    μ = μ + g\n    θ = θ - lr * μ\n    return θ, μ\n"
    p = torch.nn.Parameter(torch.ones(3))
    p.grad = torch.ones(3)
    optimizer = thalweg.optimizer(define(text))([p], engine="cpu")
    optimizer.step()
    assert p.tolist() == pytest.approx([0.9] * 3) and "μ" in optimizer.state[p]
