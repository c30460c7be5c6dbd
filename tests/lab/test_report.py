"""The report without a browser: one offline file for every kind of result, honest figures, a card for notebooks."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.dom.minidom import parseString

import large_study
import little
import pytest
from bokeh.document.models import DocumentModelManager
from bokeh.plotting import figure
from breaking import Crash

from thalweg.lab.judging.wording import Unit
from thalweg.lab.report.card import card
from thalweg.lab.report.configuration import failures, in_words
from thalweg.lab.report.figures.axes import briefs, rows
from thalweg.lab.report.figures.curves import Course, curves, thin
from thalweg.lab.report.figures.measure import Measure, good_end, line_of, measures
from thalweg.lab.report.figures.palette import COLORS, DARK, LIGHT, ramp
from thalweg.lab.report.figures.reach import reach
from thalweg.lab.report.figures.sensitivity import sensitivity
from thalweg.lab.report.markup import glued, headline, sentences, whisker
from thalweg.lab.report.page import Figure, Page, Screen
from thalweg.lab.results import Comparison, Result
from thalweg.lab.training.trial import Curve, Trial
from thalweg.lab.verbs.compare import compare
from thalweg.lab.verbs.sweep import sweep

LOADS = re.compile(
    r"""(<(script|img|link|iframe)[^>]*\s(src|href)\s*=(?!"data:,"))|@import|url\(\s*['"]?(https?:)?//"""
)
METRIC = Measure("metric", Unit("accuracy"), True)


SCREENS = {
    "compare": ["answer", "sweep", "curves", "robustness", "trials"],
    "sweep": ["answer", "sweep", "curves", "trials"],
    "tune": ["answer", "hyperparameters", "search", "curves", "trials"],
    "range-test": ["answer", "range", "check", "curves", "trials"],
}
GLANCE = ("answer-sweep", "answer-curves")
FIGURES = {
    "compare": [
        *GLANCE,
        "sweep-metric",
        "sweep-loss",
        "curves-metric",
        "curves-loss",
        "forest",
        "sensitivity",
        "reach",
        "best-of",
    ],
    "sweep": [
        *GLANCE,
        "sweep-metric",
        "sweep-loss",
        "curves-0-metric",
        "curves-0-loss",
        "curves-1-metric",
        "curves-1-loss",
    ],
    "tune": [
        *GLANCE,
        "hyperparameter-0",
        "hyperparameter-1",
        "hyperparameter-2",
        "hyperparameter-3",
        "hyperparameter-4",
        "history",
        "history-seconds",
        "curves-metric",
        "curves-loss",
    ],
    "range-test": [*GLANCE, "climb", "sweep-metric", "sweep-loss", "curves-metric", "curves-loss"],
}


@pytest.mark.parametrize("kind", SCREENS)
def test_one_offline_file_with_its_screens_and_figures(kind: str, results: dict[str, Result]) -> None:
    found = results[kind]
    path = found.folder / "report.html"
    text = path.read_text()
    assert path.stat().st_size < 3_000_000
    assert not LOADS.search(text)
    assert re.findall(r'<section class="screen" id="screen-(\w+)"', text) == SCREENS[kind]
    assert re.findall(r'<figure id="figure-([\w-]+)"', text) == FIGURES[kind]
    assert all(word in text for word in found.line.split("=")[0].split())
    assert found.report(found.folder / "copy.html").read_text().count("<figure") == len(FIGURES[kind])


def test_every_training_is_in_it_with_what_became_of_it(results: dict[str, Result]) -> None:
    found = results["compare"]
    [data] = re.findall(
        r'<script type="application/json" id="trials-data">(.*?)</script>', (found.folder / "report.html").read_text()
    )
    table = json.loads(data)
    names = [column["name"] for column in table["columns"]]
    rows = [dict(zip(names, row, strict=True)) for row in table["rows"]]
    assert [row["id"] for row in rows] == [trial.id[:8] for trial in found.trials]
    for row, trial in zip(rows, found.trials, strict=True):
        assert row["status"] == trial.status and row["message"] == trial.message
        assert (row["metric"] is None) == (not trial.done)
        if trial.done:
            assert row["metric"] == pytest.approx(100 * trial.metric, rel=1e-5)
        assert row["hyperparameter lr"] == pytest.approx(trial.settings["lr"])
    crashed = [row for row in rows if row["status"] == "crashed"]
    assert crashed and all("</script> like it" in row["message"] for row in crashed)


def test_what_the_user_named_is_text_not_markup(tmp_path: Path) -> None:
    evil = '<img src=x onerror="boom()">'
    found = compare(little.task(name=evil), ["sgd"], trials=2, finalist_seeds=2, out=tmp_path)
    text = (tmp_path / "report.html").read_text()
    assert "<img" not in text and "&lt;img" in text
    assert "<img" not in card(found)


def test_nothing_finished_is_a_report_too(tmp_path: Path) -> None:
    found = compare(little.task(), [Crash], trials=3, out=tmp_path)
    text = (tmp_path / "report.html").read_text()
    assert "No answer" in text and re.findall(r'id="screen-(\w+)" role="tabpanel"', text) == SCREENS["compare"]
    parseString(card(found))
    swept = sweep(little.task(), [Crash], points=3, seeds=1, out=tmp_path / "sweep")
    assert "No answer" in (tmp_path / "sweep" / "report.html").read_text() and swept.line == ""


@pytest.mark.apart
def test_37_optimizers_of_45_trainings_stay_under_3_megabytes(tmp_path: Path) -> None:
    found = large_study.comparison(tmp_path, 37)
    assert len(found.trials) == 37 * 45
    assert found.report().stat().st_size < 2_200_000


@pytest.mark.parametrize("kind", SCREENS)
def test_the_card_of_a_notebook(kind: str, results: dict[str, Result]) -> None:
    found = results[kind]
    html = found._repr_html_()
    tree = parseString(html)  # well-formed
    assert {node.tagName for node in tree.getElementsByTagName("*")} & {"script", "style", "link", "iframe"} == set()
    assert "onclick" not in html and "id=" not in html  # a notebook holds many cards
    lines = tree.getElementsByTagName("polyline")
    assert len(lines) == len(found.candidates) and found.line in tree.toxml().replace("&quot;", '"')
    width = float(tree.getElementsByTagName("svg")[0].getAttribute("width"))
    for line in lines:
        pixels = [tuple(map(float, pair.split(","))) for pair in line.getAttribute("points").split()]
        assert all(0 <= x <= width and 0 <= y <= 190 for x, y in pixels)
        assert [x for x, _ in pixels] == sorted(x for x, _ in pixels)


def light(color: str) -> list[float]:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]


def contrast(one: str, other: str) -> float:
    a, b = sorted(sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), light(x), strict=True)) for x in (one, other))
    return (b + 0.05) / (a + 0.05)


@pytest.mark.parametrize("color", [*COLORS, *ramp(7)])
def test_lines_are_seen_on_white_and_on_black(color: str) -> None:
    assert contrast(color, LIGHT) >= 3 and contrast(color, DARK) >= 2.9


SIGHTS = {  # Machado, Oliveira and Fernandes 2009, the full strength of each
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
}


@pytest.mark.parametrize("sight", SIGHTS)
def test_colors_are_told_apart(sight: str) -> None:
    seen = [
        oklab([max(0.0, sum(m * c for m, c in zip(row, light(x), strict=True))) for row in SIGHTS[sight]])
        for x in COLORS
    ]
    assert min(math.dist(a, b) for i, a in enumerate(seen) for b in seen[:i]) > 0.1


def oklab(linear: list[float]) -> list[float]:
    r, g, b = linear
    lms = (
        0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b,
        0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b,
        0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b,
    )
    long, middle, brief = (value ** (1 / 3) for value in lms)
    return [
        0.2104542553 * long + 0.7936177850 * middle - 0.0040720468 * brief,
        1.9779984951 * long - 2.4285922050 * middle + 0.4505937099 * brief,
        0.0259040371 * long + 0.7827717662 * middle - 0.8086757660 * brief,
    ]


def trial(values: list[float], seed: int = 0, status: str = "done", rate: float = 0.1) -> Trial:
    steps = [10 * (epoch + 1) for epoch in range(len(values))]
    curve = Curve(steps, values, [1 - value for value in values], values)
    return Trial("id", "final", 1, "sgd", {"lr": rate}, seed, status, None, 0, curve, None, None, 0.1, 0.0)


def test_a_curve_that_stopped_early_keeps_its_end() -> None:
    course = Course([trial([0.5, 0.6]), trial([0.1, 0.2, 0.3], 1), trial([0.4, 0.5, 0.9], 2)])
    plot = curves({"sgd": course}, METRIC)
    data = next(r.data_source.data for r in plot.renderers if "ys" in r.data_source.data)
    assert data["ys"] == [[40, 50, 60]] and data["band_y"] == [[50, 60, 90, 30, 20, 10]]


def test_a_failed_seed_is_no_part_of_the_curves() -> None:
    plot = curves({"sgd": Course([trial([0.5, 0.6]), trial([0.1], 1, "diverged")])}, METRIC)
    data = next(r.data_source.data for r in plot.renderers if "ys" in r.data_source.data)
    assert data["ys"] == [[50, 60]]


def columns(plot: Any, *named: str) -> dict[str, list[Any]]:
    """The first table of a figure with these columns."""
    return next(dict(r.data_source.data) for r in plot.renderers if {*named} <= {*r.data_source.data})


def test_the_rates_that_were_tried_are_the_thin_line() -> None:
    tried = [SimpleNamespace(rate=rate, index=k, failed=rate == 1.0) for k, rate in enumerate((0.1, 0.01, 1.0))]
    row = SimpleNamespace(optimizer="sgd", candidates=tried, sensitivity=None, settings={"lr": 0.1})
    data = columns(sensitivity([row]), "tried_low")  # type: ignore[list-item]
    assert (list(data["tried_low"]), list(data["tried_high"]), list(data["default"])) == ([0.01], [1.0], [0.1])


def test_the_median_stands_at_its_steps_to_the_target() -> None:
    finals = [trial([0.5, 0.7, 0.9], seed) for seed in range(3)]
    row = SimpleNamespace(optimizer="sgd", finals=finals, steps_to_target=20.0)
    plot = reach([row], 0.7, True)  # type: ignore[list-item]
    tables = [{name: list(column) for name, column in r.data_source.data.items()} for r in plot.renderers]
    assert [each["x"] for each in tables if each["seed"] == [-1]] == [[20.0]] * 2


def test_long_curves_keep_their_ends() -> None:
    kept = thin(10_000)
    assert kept[0] == 0 and kept[-1] == 9999 and len(kept) == 120 and thin(5) == [0, 1, 2, 3, 4]


def test_the_axis_shows_the_good_end() -> None:
    values = [0.97, 0.96, 0.95, 0.94, 0.1, math.nan]
    low, high, kind = good_end(values, True, False)
    assert low < 0.94 and high > 0.97 and low > 0.5 and kind == "linear"
    low, high, kind = good_end([0.01, 0.02, 0.03, 1e9], False, True)
    assert low < 0.01 and 0.03 < high < 1e3 and kind == "log"
    assert (
        good_end([1e-9, 1e-6, 1e-3], False, False)[2] == "log"
        and good_end([0.0, 1.0, 9.0], False, False)[2] == "linear"
    )
    assert good_end([math.nan], True, False) == (0.0, 1.0, "linear")
    low, high, _ = good_end([0.5, 0.5], True, False)
    assert low < 0.5 < high


def test_the_line_goes_through_the_rates_in_order(results: dict[str, Result]) -> None:
    found = results["sweep"]
    for tried in found.candidates.values():
        line = line_of(tried, measures(found.unit, True)[0])
        assert [rate for rate, _ in line] == sorted({p.rate for p in tried if p.failed < len(p.trials)})
        assert all(len(values) == 2 for _, values in line)


def test_words() -> None:
    assert sentences("Adam, lr 0.1 (0.05 is as good). RAdam is equal. So.") == (
        "Adam, lr 0.1 (0.05 is as good).",
        "RAdam is equal. So.",
    )
    assert sentences("adam leads at 97.5 %; undecided: sgd.") == ("adam leads at 97.5 %.", "Undecided: sgd.")
    assert sentences("No answer.") == ("No answer.", "")
    open_ = "Undecided on x: a at lr 1 (0.5 to 2 perform equivalently) is the best, but none is worse; not tested: b."
    assert headline(open_) == ("Undecided on x: a at lr 1 is the best.", open_)
    assert headline("a leads on x: 3 % on 5 fresh seeds; worse: b.")[0] == "a leads on x: 3 %."
    assert headline("a leads on x; worse: b.") == ("a leads on x.", "Worse: b.")
    assert glued("97.5 % ± 0.7 <") == "97.5\u00a0%\u00a0±\u00a00.7 &lt;"
    assert in_words({"betas": (0.876, 0.999837), "lr": 0.00944}, 16) == "lr 0.00944, betas (0.876, 0.999837), batch 16"
    assert in_words({}) == "its default"


def test_failures_are_explained_where_they_are_counted(results: dict[str, Result]) -> None:
    text = (results["compare"].folder / "report.html").read_text()
    assert re.search(r"<td[^>]*>[1-9] of [1-9]: crashed</td>", text)
    assert failures([], 3) == "0 of 3"


def test_a_whisker_stays_in_its_frame() -> None:
    drawn = whisker(0.1, -50.0, 50.0, 0.5, (-1.0, 1.0), "undecided")
    assert all(-0.5 * 168 <= float(x) <= 1.5 * 168 for x in re.findall(r'c?x[12]?="(-?[\d.]+)"', drawn))
    assert whisker(math.nan, math.nan, math.nan, 0.5, (-1, 1), "failed") == ""
    assert 'stroke-width="2"' not in whisker(0.1, math.nan, math.nan, 0.5, (-1, 1), "undecided")
    parseString(drawn)


def test_a_comparison_of_one_has_nothing_to_compare(tmp_path: Path) -> None:
    found: Comparison = compare(little.task(), ["sgd"], trials=2, finalist_seeds=2, out=tmp_path)
    text = (tmp_path / "report.html").read_text()
    assert "figure-forest" not in text and 'id="chips"' not in text and found.verdict


def test_long_names_that_begin_alike_are_rows_of_their_own() -> None:
    """A figure whose rows have one name twice is refused by Bokeh, and with it the report of a study that has ended."""
    names = [f"adam(eps=1e-08, betas=(0.9, {b2}), {'amsgrad=True, ' * 3}{end})" for b2 in (0.9, 0.99) for end in "ab"]
    figure = rows("x", [*names, "sgd"])
    assert len(set(figure.y_range.factors)) == 5 and figure.y_range.factors[0] == "sgd"
    assert [briefs([*names, "sgd"])[name] for name in ["sgd", *names[::-1]]] == figure.y_range.factors


def test_figures_are_gone_through_as_often_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bokeh would go through all that are there for each that is added."""
    looked: list[DocumentModelManager] = []
    whole = DocumentModelManager.recompute
    monkeypatch.setattr(DocumentModelManager, "recompute", lambda models: looked.append(models) or whole(models))

    def looks(count: int) -> int:
        looked.clear()
        Page("-", "-", [Screen("one", "-", [Figure(str(at), figure(), "-") for at in range(count)])]).html()
        return len(looked)

    assert looks(5) == looks(1) > 0
