"""A reader's own rules in the page: with the bits of `reference`, or named with the line that cannot be."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from play.watching import complaints, hash_of, open_still, run

from thalweg import optimizer
from thalweg.catalogue import CATALOGUE, Entry
from thalweg.play.page import html
from thalweg.rule.definition import Rule
from thalweg.rule.hyperparameters import Rate
from thalweg.rule.words import sqrt, where

STEPS = 60


def per_step(step, *, lr: Rate = 1e-2, beta: Rate = 0.9):
    warm = 1 - beta**step
    return {"eta": lr * warm if step < 20 else lr, "beta": beta}


def per_element(p, g, m, *, eta, beta):
    m = beta * m + (1 - beta) * g
    p = p - eta * m / (sqrt(where(m < 0.0, -m, m)) + 1e-3)
    return p, m


def looping(step, *, lr: Rate = 1e-2):
    return {"eta": lr * [1.0, 0.5][int(step) % 2]}


def plain(p, g, *, eta):
    p = p - eta * g
    return p


mine = Rule(
    name="mine", title="Mine: a root of the momentum", source="nobody 2026", per_step=per_step, per_element=per_element
)
marked = Rule(
    name="my rule-2.1+",
    title="<b>Marked</b></SCRIPT><script>alert(1)</script>",
    source="<!-- nobody -->",
    per_step=per_step,
    per_element=per_element,
)
untitled = Rule(name="untitled", title="", source="", per_step=per_step, per_element=per_element)
odd = Rule(name="odd", title="Odd: a table by the step", source="nobody 2026", per_step=looping, per_element=plain)


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    path = tmp_path_factory.mktemp("own") / "page.html"
    entries = [
        *CATALOGUE.values(),
        *(Entry(rule.name, optimizer(rule), {}, rule) for rule in (mine, marked, untitled, odd)),
    ]
    path.write_text(html(entries), encoding="utf-8")
    return path


def test_a_users_rule_races_with_the_same_bits(own, browser):
    """The page's float32 run of it, and `reference` given the gradients that the page's run met."""
    open_still(browser, own, "race?surface=himmelblau&racers=mine(lr=0.05);adam")
    assert complaints(browser) == ([], [])
    positions, gradients = run(browser, "raced", "mine", {"lr": 0.05}, STEPS)
    raced = browser.ask(f"(spec => [...paths(spec)[0].positions])({{...specOf(state.race), steps: {STEPS}}})")
    assert raced == [part for position in positions for part in position]
    p = torch.nn.Parameter(torch.tensor(positions[0], dtype=torch.float32))
    steps = optimizer(mine)([p], lr=0.05, engine="reference")
    for gradient, there in zip(gradients, positions[1:], strict=True):
        p.grad = torch.tensor(gradient, dtype=torch.float32)
        steps.step()
        assert p.detach().numpy().tobytes() == np.array(there, dtype=np.float32).tobytes()


def test_a_users_words_are_words_whatever_is_in_them(own, browser):
    open_still(browser, own, f"race?racers={marked.name};untitled".replace(" ", "%20"))
    assert complaints(browser) == ([], [])
    assert browser.ask("[...document.querySelectorAll('[data-racer]')].map(e => e.ariaLabel)") == [
        marked.title,
        "untitled",
    ]
    open_still(browser, own, hash_of(browser))
    assert browser.ask("state.race.racers.map(racer => racer.rule)") == [marked.name, "untitled"]


def test_what_cannot_be_translated_is_named_with_its_line(own, browser):
    open_still(browser, own, "race")
    names = browser.ask("[...document.querySelectorAll('[data-missing]')].map(e => e.dataset.missing)")
    named = dict(zip(names, browser.texts("[data-missing]"), strict=True))
    matrices = {"adafactor", "adafactor_momentum", "muon", "shampoo", "soap"}
    assert set(named) == {*matrices, "sparse_adam", "adahessian", "odd"}
    line = next(k for k, text in enumerate(Path(__file__).read_text().splitlines(), 1) if "int(step) % 2" in text)
    assert f"test_page_rules.py:{line}" in named["odd"]
    assert not re.search(r"/\w+/", named["odd"]), "no folder of the machine that made the page"
    assert "odd" not in browser.ask(
        "[...document.querySelector('[data-control=add]').options].map(option => option.value)"
    )
