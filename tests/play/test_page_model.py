"""The screen "Your model", from data made by hand: slices, paths as faint as their share in the plane, losses."""

import numpy as np
import pytest
from play.watching import CANVASES, choose, complaints, hash_of, number, open_still

from thalweg.play.landscape import Run, landscape
from thalweg.play.page import html

AXIS = [-1 + k / 10 for k in range(21)]
PATH = [[0.9 - 0.09 * k, -0.6 + 0.06 * k] for k in range(10)]


def slice_of(name, share):
    loss = [x * x + 2 * y * y + 0.1 for x, y in PATH]
    run = {"steps": list(range(10)), "path": PATH, "share": [share] * 10, "slice_loss": loss}
    return {
        "name": name,
        "kind": "pca",
        "x": [-1, 1],
        "y": [-1, 1],
        "values": [[x * x + 2 * y * y + 0.1 for x in AXIS] for y in AXIS],
        "runs": [
            {**run, "name": "adam", "loss": [value * 1.1 for value in loss]},
            {**run, "name": "sgd", "loss": loss},
        ],
    }


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    model = {
        "title": "digits </script><!-- of 3 runs",
        "batchnorm": "recalibrated",
        "slices": [slice_of("First half", 0.93), slice_of("Second half", 0.2)],
        "lines": [{"name": "adam", "at": AXIS, "loss": [x * x for x in AXIS]}],
    }
    path = tmp_path_factory.mktemp("model") / "page.html"
    path.write_text(html(model=model), encoding="utf-8")
    return path


def test_a_slice_with_its_runs(recorded, browser):
    open_still(browser, recorded, "model")
    assert complaints(browser) == ([], [])
    assert browser.texts(".lead") == ["digits </script><!-- of 3 runs"]
    assert number(browser, "share-0") == 93
    assert "BatchNorm was recalibrated" in browser.texts("#figure-slice .sentence")[0]
    assert browser.ask("document.querySelectorAll('#figure-slice-loss path').length") == 4
    assert browser.ask("document.querySelectorAll('#figure-lines path').length") == 1


def test_another_slice_is_another_picture_and_a_link_of_its_own(recorded, browser):
    open_still(browser, recorded, "model")
    first = browser.ask(CANVASES)
    choose(browser, "slice", "1")
    second = browser.ask(CANVASES)
    assert second != first, "the same path, but fainter: only a fifth of its way lies in the plane"
    assert number(browser, "share-0") == 20
    copied = hash_of(browser)
    open_still(browser, recorded, copied)
    assert browser.ask(CANVASES) == second


def test_between_the_slices_numbers(recorded, browser):
    """What is drawn between the grid's values is between them: exact on a plane."""
    open_still(browser, recorded, "model")
    middle = browser.ask("between({x: [0, 2], y: [0, 1], values: [[0, 1, 2], [10, 11, 12]]})([1.3, 0.4])")
    assert middle == pytest.approx(1.3 + 4.0)


def test_a_landscape_as_it_was_recorded(tmp_path, browser):
    """Five slices, each with lines of its own; a loss that is not finite is drawn as the highest ground."""

    def loss(weights):
        return float("inf") if weights[0] < -0.2 else float((weights**2 * [1, 2, 3]).sum())

    steps = np.arange(8)
    runs = [
        Run("adam", steps, np.exp(-0.3 * steps)[:, None] * [1.0, 1.0, 0.4]),
        Run("sgd", steps, np.exp(-0.3 * steps[:, None] * [1, 2, 3]) * [1.0, 1.0, 0.4]),
    ]
    made = landscape(runs, loss, title="three numbers", size=9)
    assert not np.isfinite(made.slices[0].values).all()
    path = tmp_path / "page.html"
    path.write_text(html(model=made.block()), encoding="utf-8")
    open_still(browser, path, "model")
    for place, (name, lines) in enumerate(
        [("All of the runs", 2), ("The first third", 2), ("The middle", 2), ("The last", 2), ("Random directions", 3)]
    ):
        choose(browser, "slice", str(place))
        assert browser.texts("#figure-slice .sentence")[0].startswith(name)
        assert browser.ask("document.querySelectorAll('#figure-lines path').length") == lines
        for run in (0, 1):
            assert number(browser, f"share-{run}") == pytest.approx(100 * made.slices[place].runs[run].total, abs=1)
    assert complaints(browser) == ([], [])
