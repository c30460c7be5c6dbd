"""The laws of the JavaScript engine in a real browser: every rule on three surfaces for 300 steps."""

import json

import numpy as np
import pytest
from play.engine import translated

from lab.browser import running
from thalweg.engines import javascript
from thalweg.play import race
from thalweg.play.scenery import javascript as scenery

ENTRIES = translated()
ASK = """
const spec = arguments[0];
return paths(spec).map((each) => Array.from(each.positions, String));
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chromium")
    page = folder / "engine.html"
    script = javascript.script(entry.rule for entry in ENTRIES) + "\n" + scenery() + "\nwindow.paths = paths;"
    page.write_text(f"<!doctype html><meta charset='utf-8'><title>engine</title><script>{script}</script>")
    with running(folder / "profile") as found:
        found.driver.get(page.as_uri())
        yield found


@pytest.mark.parametrize("surface", ["saddle", "rosenbrock", "noisy"])
@pytest.mark.parametrize("precision", ["f32", "f64"])
def test_chromium_has_the_bits_of_reference(browser, surface, precision):
    racers = {entry.name: {**entry.settings, "lr": float(entry.default("lr"))} for entry in ENTRIES}
    more = {"seed": 3, "batch": 4} if surface == "noisy" else {}
    theirs = race(surface, racers, 300, precision=f"float{precision[1:]}", **more).positions
    spec = {"surface": surface, "precision": precision, "steps": 300, **more}
    spec["racers"] = [{"rule": name, "settings": settings} for name, settings in racers.items()]
    found = browser.driver.execute_script(ASK, json.loads(json.dumps(spec)))
    for name, ours, path in zip(racers, found, theirs, strict=True):
        ours = np.array([float(x) for x in ours], path.dtype).reshape(path.shape)
        if precision == "f32":
            assert np.array_equal(ours, path, equal_nan=True), name
        else:
            assert np.allclose(ours, path, rtol=1e-12, atol=1e-12, equal_nan=True), name
