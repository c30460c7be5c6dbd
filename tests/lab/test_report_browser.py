"""The report in a real browser: everything is clicked, hovered and read back, and nothing asks for the network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import browser
import large_study
import pytest

from thalweg.lab.results import Result

KINDS = ["compare", "sweep", "tune", "range-test"]
SEEN = "{visibilityProperty: true}"
MODELS = "Bokeh.documents.flatMap(doc => doc.roots().flatMap(root => [...root.references()]))"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Browser]:
    with browser.running(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of twelve optimizers and 180 runs."""
    found = large_study.comparison(tmp_path_factory.mktemp("many"), 12, trials=9, finalist_seeds=3, epochs=5)
    return found.report()


def report(results: dict[str, Result], kind: str) -> Path:
    return results[kind].folder / "report.html"


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("kind", KINDS)
def test_every_screen_opens_and_is_drawn(
    page: browser.Browser, results: dict[str, Result], kind: str, width: int
) -> None:
    page.open(report(results, kind), width)
    names = page.ask("[...document.querySelectorAll('[role=tab]')].map(tab => tab.dataset.screen)")
    assert names[0] == "answer" and names[-1] == "trials"
    for name in names:
        page.click(f"#tab-{name}")
        shown = f"[...document.querySelectorAll('.screen')].filter(e => e.checkVisibility({SEEN})).map(e => e.id)"
        assert page.ask(shown) == [f"screen-{name}"]
        assert page.ask("location.hash") == f"#{name}"
        assert page.ask("document.documentElement.scrollWidth") <= width, f"{name} scrolls sideways"
        for place in range(page.ask("document.querySelectorAll('.screen.open .plot').length")):
            assert page.wait(PAINTED, place) > 200  # pixels of ink
    complaints, requests = page.log()
    assert complaints == [] and requests == []


PAINTED = """(place => {
  const plot = document.querySelectorAll('.screen.open .plot')[place];
  const view = [...Bokeh.index.roots].find(root => plot.contains(root.el));
  const canvas = view.canvas_view.primary.canvas;
  if (!canvas.width || plot.getBoundingClientRect().width < 200) return 0;
  const ink = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  let count = 0;
  for (let at = 3; at < ink.length; at += 4) count += ink[at] > 40;
  return count;
})(arguments[0])"""


def test_the_keyboard_walks_through_the_screens(page: browser.Browser, results: dict[str, Result]) -> None:
    from selenium.webdriver.common.keys import Keys

    page.open(report(results, "compare"))
    page.click("#tab-answer")
    for key, name in (
        (Keys.ARROW_RIGHT, "sweep"),
        (Keys.END, "trials"),
        (Keys.ARROW_RIGHT, "answer"),
        (Keys.ARROW_LEFT, "trials"),
        (Keys.HOME, "answer"),
    ):
        page.driver.switch_to.active_element.send_keys(key)
        assert page.ask("document.activeElement.dataset.screen") == name
        assert page.ask("document.querySelector('[aria-selected=true]').dataset.screen") == name
        assert page.ask("document.querySelector('.screen.open').id") == f"screen-{name}"


def test_an_address_can_name_a_screen(page: browser.Browser, results: dict[str, Result]) -> None:
    page.open(report(results, "compare"), screen="robustness")
    assert page.ask("document.querySelector('.screen.open').id") == "screen-robustness"
    assert (
        page.ask("scrollY") == 0
        and page.ask("document.querySelector('.screen.open h2').getBoundingClientRect().top") > 0
    )


def test_the_answer_is_the_results(page: browser.Browser, results: dict[str, Result]) -> None:
    found = results["compare"]
    page.open(report(results, "compare"))
    headline = page.texts("h1")[0].replace("\u00a0", " ").rstrip(".")
    assert headline.split(" leads")[0] in found.verdict and len(headline) < 80
    assert page.texts(".lead")[0].replace("\u00a0", " ") in found.verdict.replace("; w", "; W")
    line = float(page.ask("getComputedStyle(document.querySelector('h1')).lineHeight").removesuffix("px"))
    assert page.ask("document.querySelector('h1').getBoundingClientRect().height") < 1.5 * line, "more than one line"
    ends = "[...document.querySelectorAll('#screen-answer .plot')].map(e => e.getBoundingClientRect().bottom)"
    assert len(page.ask(ends)) == 2 and max(page.ask(ends)) <= 900, "not on the first screen"
    assert page.texts("#line") == [found.line]
    names = [row["optimizer"] for row in found.table]
    assert page.texts(".standings td:first-child") == names
    assert page.texts(".standings .mark") == [row["verdict"] for row in found.table]
    listed = page.texts(".caveats li")
    assert sorted(listed) == sorted(found.notes)


def test_the_line_is_copied(page: browser.Browser, results: dict[str, Result]) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    page.open(report(results, "compare"))
    page.click("#copy")
    page.wait("document.getElementById('copy').textContent === 'copied'")
    page.click("#tab-trials")
    find = page.driver.find_element(By.ID, "find")
    find.send_keys(Keys.CONTROL, "v")
    assert find.get_attribute("value") == results["compare"].line


VISIBLE = f"""{MODELS}.filter(m => m.type === 'GlyphRenderer' && m.glyph.type === 'MultiLine' && m.name === 'picked 0')
  .map(m => Array.from(m.data_source.data.name).filter((_, i) => [...m.view.filter.booleans][i]))"""


def test_chips_choose_what_is_shown(page: browser.Browser, many: Path) -> None:
    page.open(many, screen="sweep")
    order = page.ask("[...document.querySelectorAll('#chips [data-optimizer]')].map(c => c.dataset.optimizer)")
    assert len(order) == 12

    def shown() -> list[str]:
        lines = page.ask(VISIBLE)
        assert lines and all(set(line) == set(lines[0]) for line in lines)  # all figures agree
        return sorted(lines[0], key=order.index)

    assert shown() == order[:5]
    page.click(f"[data-optimizer={order[0]}]")
    page.pointer(5, 5)
    assert shown() == order[1:5]
    page.click(f"[data-optimizer={order[9]}]")
    page.pointer(5, 5)
    assert shown() == [*order[1:5], order[9]]
    page.click("[data-first='12']")
    assert shown() == order
    page.click("[data-first='5']")
    assert shown() == order[:5]
    x, y = page.ask(MIDDLE, f"[data-optimizer={order[11]}]")
    page.pointer(x, y)  # pointing at a name shows it alone
    page.wait(f"{VISIBLE}.every(line => line.length === 1)")
    assert shown() == [order[11]]
    page.pointer(5, 5)
    page.wait(f"{VISIBLE}.every(line => line.length === 5)")
    page.click("#tab-trials")
    assert page.ask("document.getElementById('chips').hidden")


MIDDLE = """(selector => {
  const box = document.querySelector(selector).getBoundingClientRect();
  return [box.left + box.width / 2, box.top + box.height / 2];
})(arguments[0])"""

TIPS = """(() => {
  const found = [];
  const walk = root => { for (const e of root.querySelectorAll('*')) {
    if (e.matches('.bk-Tooltip') && e.checkVisibility())
      found.push(e.shadowRoot.querySelector('.bk-tooltip-content').innerText);
    if (e.shadowRoot) walk(e.shadowRoot);
  } };
  walk(document);
  return found.join(' | ');
})()"""


def point_at(page: browser.Browser, figure: str, glyph: str, row: int) -> str:
    """Move the pointer to a row's place in a figure, and read what is shown."""
    page.ask("document.getElementById(arguments[0]).scrollIntoView({block: 'center'})", f"figure-{figure}")
    x, y = page.wait(WHERE, f"figure-{figure}", glyph, row)
    page.pointer(x - 40, y - 1)
    page.pointer(x, y)
    return str(page.wait(TIPS))


WHERE = """((figure, kind, row) => {
  const plot = document.querySelector('#' + figure + ' .plot');
  const view = [...Bokeh.index.roots].find(root => plot.contains(root.el));
  const drawn = view.model.renderers.filter(r => r.glyph && r.glyph.type === kind && r.data_source.data.x)
    .find(r => r.data_source.data.x.length > row && r.data_source.data[kind === 'Scatter' ? 'seed' : 'x']);
  const frame = view.frame, box = plot.getBoundingClientRect();
  const at = name => drawn.data_source.data[name][row];
  return [box.left + frame.x_scale.compute(at('x')), box.top + frame.y_scale.compute(at('y'))];
})(...arguments)"""


def test_a_dot_of_the_sweep_says_what_it_is(page: browser.Browser, results: dict[str, Result]) -> None:
    found = results["compare"]
    page.open(report(results, "compare"), screen="sweep")
    row = next(row for row in found.rows if row.candidates[0].metric == row.candidates[0].metric)  # type: ignore[attr-defined]
    best = max((trial for trial in found.trials if trial.phase == "search" and trial.done), key=lambda t: t.metric)
    names = page.ask(DOTS, "figure-sweep-metric")
    place = next(i for i, (name, y) in enumerate(names) if name == best.optimizer and abs(y - 100 * best.metric) < 1e-3)
    tip = point_at(page, "sweep-metric", "Scatter", place)
    assert best.optimizer in tip and "setting" in tip and "accuracy (%)" in tip and "seed" in tip
    assert re.search(r"lr\s+\S+", tip) and row


DOTS = """(figure => {
  const plot = document.querySelector('#' + figure + ' .plot');
  const view = [...Bokeh.index.roots].find(root => plot.contains(root.el));
  const data = view.model.renderers.find(r => r.glyph.type === 'Scatter' && r.data_source.data.seed).data_source.data;
  return Array.from(data.name, (name, i) => [name, data.y[i]]);
})(arguments[0])"""


def test_the_x_axis_switches(page: browser.Browser, results: dict[str, Result]) -> None:
    found = results["compare"]
    page.open(report(results, "compare"), screen="curves")
    curve = next(trial for trial in found.trials if trial.phase == "final" and trial.done)
    steps = curve.curve.steps
    milliseconds = found.versions["milliseconds"][curve.optimizer]
    expected = {
        "epochs": [1, 2, 3],
        "seconds": [step * milliseconds / 1000 for step in steps],
        "steps": steps,
    }
    for unit, values in expected.items():
        page.click(f"[data-along={unit}]")
        assert page.ask("document.querySelector('[data-along][aria-pressed=true]').textContent") == unit
        assert set(page.ask(f"{MODELS}.filter(m => m.name === 'along').map(m => m.axis_label)")) == {unit}
        drawn = page.ask(f"{MODELS}.filter(m => m.name === 'courses').map(m => [m.data.xs, m.data.name])")
        assert len(drawn) == 3  # one of them on the first screen
        for xs, names in drawn:
            assert xs[names.index(curve.optimizer)] == pytest.approx(values, rel=1e-3)
        last = max(x for xs, _ in drawn for line in xs for x in line)
        page.wait(f"{MODELS}.filter(m => m.type === 'DataRange1d' && Math.abs(m.end / {last} - 1) < 0.05).length > 1")


def column(page: browser.Browser, title: str) -> list[str]:
    place = page.texts("#runs th").index(title) + 1
    return page.texts(f"#runs td:nth-child({place})")


def test_the_table_sorts_filters_finds_and_turns_pages(page: browser.Browser, many: Path) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import Select

    page.open(many, screen="trials")
    assert page.texts("#rows-shown") == ["1 to 50 of 180"] and len(column(page, "id")) == 50
    page.click("#next")
    assert page.texts("#rows-shown") == ["51 to 100 of 180"]
    page.click("#before")
    heading = page.texts("#runs th").index("validation accuracy (%)") + 1
    page.click(f"#runs th:nth-child({heading}) button")
    rising = [float(text) for text in column(page, "validation accuracy (%)")]
    assert rising == sorted(rising)
    page.click(f"#runs th:nth-child({heading}) button")
    falling = [float(text) for text in column(page, "validation accuracy (%)")]
    assert falling == sorted(falling, reverse=True) and falling[0] > rising[0]
    assert page.ask("document.querySelector('#runs th[aria-sort]').ariaSort") == "descending"
    Select(page.driver.find_element(By.CSS_SELECTOR, "[data-column=optimizer]")).select_by_value("optimizer_3")
    assert set(column(page, "optimizer")) == {"optimizer_3"} and page.texts("#rows-shown") == ["1 to 15 of 15 (of 180)"]
    Select(page.driver.find_element(By.CSS_SELECTOR, "[data-column=status]")).select_by_value("diverged")
    ended = column(page, "ended")
    assert ended and set(ended) == {"diverged"} and set(column(page, "validation accuracy (%)")) == {""}
    page.driver.find_element(By.ID, "find").send_keys("no such thing")
    assert page.texts("#rows-shown") == ["no run is like that"] and column(page, "id") == []


def test_light_and_dark(page: browser.Browser, results: dict[str, Result]) -> None:
    page.open(report(results, "compare"), screen="sweep")
    ground = "getComputedStyle(document.body).backgroundColor"
    inks = f"{MODELS}.filter(m => String(m.type).endsWith('Axis')).map(m => m.major_label_text_color)"
    ink = f"[...new Set({inks}.map(ink => ink.value || ink))]"
    assert page.ask(ground) == "rgb(255, 255, 255)" and page.ask(ink) == ["#52606c"]
    page.dark(True)
    page.wait(f"{ground} === 'rgb(20, 25, 30)'")
    page.wait(f"{ink}.join() === '#a5b1bc'")
    page.dark(False)
    page.wait(f"{ink}.join() === '#52606c'")


@pytest.mark.parametrize("kind", KINDS)
def test_on_paper_every_screen_is_there(page: browser.Browser, results: dict[str, Result], kind: str) -> None:
    page.open(report(results, kind), dark=True)
    paper = page.pdf()
    assert len(re.findall(rb"/Type\s*/Page\b", paper)) > 2
    page.driver.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    page.command("Emulation.setEmulatedMedia", media="print", features=[])
    figures = page.ask("document.querySelectorAll('figure').length")
    drawn = page.ask(PRINTED)
    assert figures == drawn > 0
    hidden = f"[...document.querySelectorAll('.screen')].filter(e => !e.checkVisibility({SEEN})).map(e => e.id)"
    controls = "[...document.querySelectorAll('[role=tab], .filters, #next, #copy, .switch')]"
    assert page.ask(hidden) == []
    assert page.ask(f"{controls}.filter(e => e.checkVisibility()).length") == 0
    page.driver.execute_script("window.dispatchEvent(new Event('afterprint'))")
    assert page.ask("document.querySelectorAll('.printed svg').length") == 0
    page.command("Emulation.setEmulatedMedia", media="")
    complaints, requests = page.log()
    assert complaints == [] and requests == []


PRINTED = """[...document.querySelectorAll('.printed svg')].filter(drawing =>
  drawing.checkVisibility() && drawing.getBoundingClientRect().height > 50
  && drawing.querySelectorAll('path').length > 3).length"""
