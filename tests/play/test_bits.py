"""The table of the same bits is what the engine does: held to its runs in V8, to the docs and to the page."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from play import bits
from play.engine import context, translated
from play.watching import open_still

from thalweg.play import scenery
from thalweg.play.page import absent, same_bits

ENTRIES = translated()
NOTED = same_bits()["rules"]
DOCS = Path(__file__).parents[2] / "docs" / "play.md"


@pytest.fixture(scope="module")
def v8():
    return context([entry.rule for entry in ENTRIES], scenery.javascript(), bits.WALK)


def test_it_has_each_rule_of_the_page_and_the_reason_of_the_others():
    assert list(NOTED) == [entry.name for entry in ENTRIES]
    reasons = dict(absent())
    matrices = {"adafactor", "adafactor_momentum", "muon", "shampoo", "soap"}
    assert set(reasons) == {*matrices, "adahessian", "sparse_adam"} and all(reasons.values())


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_it_is_what_the_runs_say(v8, entry):
    """Where nothing in a rule leaves a bit open, exactly; elsewhere another machine may part in the last ones."""
    found, noted = bits.row(v8, entry), NOTED[entry.name]
    assert found["causes"] == noted["causes"]
    free = bool(set(noted["causes"]) - {"sum"})
    for precision, close in (("float32", 3e-6), ("float64", 1e-12)):
        for column, is_open in (
            (precision, free and precision == "float64"),
            (f"many_{precision}", "sum" in noted["causes"] or (free and precision == "float64")),
        ):
            if is_open:
                assert max(found[column], noted[column]) <= close, column
            else:
                assert found[column] == noted[column] == 0, column


def test_a_bit_counts():
    assert bits.apart([1.0, np.nan], [1.0, np.nan]) == 0
    assert 0 < bits.apart([1.0], [math.nextafter(1.0, 2.0)]) < 1e-15
    assert bits.apart([1.0], [np.nan]) == np.inf


def test_the_docs_have_it():
    table = re.search("<!-- same bits -->(.*)<!-- end -->", DOCS.read_text(encoding="utf-8"), re.S)
    assert table[1].strip() == bits.markdown(NOTED, absent())


def test_the_page_shows_it(page, browser):
    open_still(browser, page, "race")
    browser.click("#same-bits summary")
    names = browser.ask("[...document.querySelectorAll('#same-bits td[data-name]')].map(e => e.dataset.name)")
    shown = dict(zip(names, browser.texts("#same-bits td[data-name]"), strict=True))
    assert len(shown) == 4 * len(ENTRIES)
    for name, noted in NOTED.items():
        for column in ("float32", "float64", "many_float32", "many_float64"):
            text = shown[f"bits-{name}-{column}"]
            assert text == "same" if noted[column] == 0 else float(text.replace("−", "-")) == noted[column]
    block = browser.ask("document.getElementById('bits').textContent")
    assert json.loads(block) == same_bits()
