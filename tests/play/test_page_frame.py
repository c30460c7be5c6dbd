"""The page as a file: its size, what it asks for, what it says, its links, by keyboard, for everybody."""

from importlib.resources import files

import pytest
from play.watching import CANVASES, choose, complaints, hash_of, keys, map_ready, number, open_still, type_number

SCREENS = ("race", "step", "why", "maps", "model", "network")
STATES = (  # one of each screen, with something in it that is not as at first
    "race?surface=rosenbrock&racers=adam(lr=0.03,betas=0.8/0.99);momentum(momentum=0.5)&steps=90&at=40",
    "race?surface=himmelblau&start=-1.5,2&racers=radam;lion&fair=0&lr=0.02",
    "step?racer=radam(lr=0.1)&surface=himmelblau&t=8",
    "why?beta2=0.99&schedule=one_cycle",
    "maps?kind=stability&racer=momentum&pixel=20,100",
    "network?points=xor&widths=6,6&steps=40&racer=nadam(lr=0.02)&schedule=cosine",
)


def test_is_small_and_alone(page):
    text = page.read_bytes()
    assert len(text) <= 400_000
    for loads in (b'<link rel="stylesheet', b'src="http', b"@import", b"fetch(", b"XMLHttpRequest", b"WebSocket"):
        assert loads not in text


@pytest.mark.parametrize("screen", SCREENS)
def test_opens_from_disk_without_a_request_or_a_message(page, browser, screen):
    browser.open(page, screen=screen)
    if screen == "maps":
        map_ready(browser)
    assert complaints(browser) == ([], [])
    assert browser.ask("document.querySelector('[aria-selected=true]').id") == f"tab-{screen}"


@pytest.mark.parametrize("address", STATES)
def test_a_copied_link_is_the_same_picture(page, browser, address):
    open_still(browser, page, address)
    if address.startswith("maps"):
        map_ready(browser)
    copied, seen, words = hash_of(browser), browser.ask(CANVASES), browser.texts(".sentence")
    assert seen or address.startswith("why")
    open_still(browser, page, copied)
    if address.startswith("maps"):
        map_ready(browser)
    assert browser.texts(".sentence") == words
    assert browser.ask(CANVASES) == seen
    assert hash_of(browser) == copied


def test_a_race_that_was_played_and_paused_is_the_same_picture(page, browser):
    """Paths that were appended frame by frame, and the copied link's, drawn at once."""
    open_still(browser, page, "race?racers=adam;radam;momentum&speed=100")
    browser.click("[data-action=play]")
    browser.wait("document.querySelector('.count').textContent.split(' ')[0] > 10")
    browser.click("#copy")
    copied, seen = hash_of(browser), browser.ask(CANVASES)
    assert "at=" in copied
    open_still(browser, page, copied)
    assert browser.ask(CANVASES) == seen


def test_a_link_of_another_time_does_no_harm(page, browser):
    open_still(
        browser, page, "race?surface=nowhere&racers=none;adam(lr=x)&steps=abc&zzz=1&maps.kind=odd&broken&lang=xx"
    )
    assert complaints(browser) == ([], [])
    assert browser.ask("document.querySelectorAll('.card').length") > 0


@pytest.mark.parametrize(
    "address",
    [
        "constructor",
        "race?surface=constructor&constructor=1",
        "race?racers=constructor",
        "race?racers=adam(betas=0.9)",
        "race?racers=adam(lr=true)",
        "race?racers=adam(betas=0.9/0.99/0.3)",
        "race?racers=adam(weight=1)",
        "race?racers=adam(lr=-0.5)",
        "race?racers=adam(lr=Infinity)",
        "race?racers=adam(betas=0.9/1)",
        "race?racers=adam(betas=-0.1/0.9)",
        "race?racers=adam(weight_decay=-1)",
        "step?racer=momentum(momentum=-0.5)",
        "step?surface=valueOf",
        "step?racer=adam(betas=0.9)",
        "why?schedule=toString",
        "maps?kind=toString",
        "maps?racer=adam(betas=0.5)&kind=stability",
        "network?activation=constructor&points=toString&schedule=valueOf",
    ],
)
def test_a_link_with_another_name_or_kind_of_value_is_as_at_first(page, browser, address):
    """A name that every object of JavaScript has, and a value of another kind than the rule's own."""
    open_still(browser, page, address)
    assert complaints(browser) == ([], [])
    first = address.split("?")[0]
    assert hash_of(browser).replace("&kind=stability", "").replace("?kind=stability", "") == (
        "race" if first == "constructor" else first
    )


def test_what_a_link_may_set_of_a_racer(page, browser):
    adam = "adam(lr=0.5,betas=0/0.5,weight_decay=0.1,bias_correction=false)"
    address = f"race?racers={adam};prodigy(growth_rate=2);sgd(maximize=true)"
    open_still(browser, page, address)
    assert complaints(browser) == ([], [])
    assert hash_of(browser) == address


def test_what_a_new_reader_comes_for(page, browser):
    """RAdam against Adam on the saddle, another learning rate, a link: all found by what the page says."""
    open_still(browser, page, "race?surface=ravine")
    button = "[data-preset=saddle]"
    assert browser.texts(button) == ["RAdam against Adam on the saddle"]
    browser.click(button)
    assert browser.ask("[...document.querySelectorAll('[data-racer]')].map(e => e.dataset.racer)") == ["adam", "radam"]
    assert "card" in browser.texts(".lead")[0] and "Copy link" in browser.texts(".lead")[0]
    type_number(browser, "radam-lr", 0.07)
    assert number(browser, "radam-lr") == 0.07
    browser.click("#copy")
    browser.wait("document.getElementById('said').textContent.includes('clipboard')")
    address = browser.ask("location.href")
    assert "radam(lr=0.07)" in address
    seen = browser.ask(CANVASES)
    open_still(browser, page, address.split("#")[1])
    assert browser.ask(CANVASES) == seen and number(browser, "radam-lr") == 0.07


def test_by_keyboard_alone(page, browser):
    open_still(browser, page, "race")
    browser.ask("document.getElementById('tab-race').focus()")
    keys(browser, "ARROW_RIGHT")
    assert browser.ask("document.activeElement.id") == "tab-step"
    keys(browser, "END")
    assert browser.ask("state.screen") == "network"
    keys(browser, "HOME")
    start = browser.ask("document.querySelector('.sentence').textContent")
    browser.ask("document.querySelector('.handle').focus()")
    keys(browser, "ARROW_LEFT", "ARROW_UP", "ARROW_UP")
    assert browser.ask("document.activeElement.className") == "handle"
    assert browser.ask("document.querySelector('.sentence').textContent") != start
    browser.ask("document.querySelector('[data-action=back]').focus()")
    keys(browser, "ENTER", "SPACE")
    assert browser.texts(".count") == ["198 / 200"]
    unreachable = browser.ask(
        "[...document.querySelectorAll('button, select, input, textarea, a[href], summary')]"
        ".filter(e => e.tabIndex < 0 && e.getAttribute('role') !== 'tab').map(e => e.outerHTML)"
    )
    assert unreachable == []


def test_the_map_by_keyboard(page, browser):
    open_still(browser, page, "maps")
    before = browser.ask("document.querySelector('#figure-run .sentence').textContent")
    browser.ask("document.querySelector('.map').focus()")
    keys(browser, "ARROW_RIGHT", "ARROW_RIGHT", "ARROW_UP")
    assert browser.ask("document.querySelector('#figure-run .sentence').textContent") != before
    assert "pixel=66,65" in hash_of(browser)


def test_dragging_the_start(page, browser):
    open_still(browser, page, "race?surface=himmelblau")
    browser.ask("document.querySelector('.stage').scrollIntoView({block: 'center'})")
    box = browser.ask(
        "(b => [b.left, b.top, b.width, b.height])(document.querySelector('.stage').getBoundingClientRect())"
    )
    x, y = box[0] + box[2] * 0.25, box[1] + box[3] * 0.25
    for kind, at in (("mousePressed", x), ("mouseMoved", x + 20), ("mouseReleased", x + 20)):
        browser.command("Input.dispatchMouseEvent", type=kind, x=at, y=y, button="left", clickCount=1)
    start = [float(part) for part in browser.ask("state.race.start").split(",")]
    (left, right), (bottom, top) = browser.ask("SURFACES.himmelblau.domain")
    assert start[0] == pytest.approx(left + (right - left) * ((x + 20 - box[0]) / box[2]), abs=0.05)
    assert start[1] == pytest.approx(top - (top - bottom) * 0.25, abs=0.05)


def test_nothing_moves_where_motion_is_unwanted(page, browser):
    reduce = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    browser.driver.get("about:blank")
    browser.command("Emulation.setEmulatedMedia", features=reduce)
    browser.driver.get(page.resolve().as_uri())
    browser.wait("document.documentElement.classList.contains('drawn')")
    assert browser.ask("document.querySelector('[data-playing=true]')") is None
    assert browser.texts(".count") == ["200 / 200"]
    browser.driver.get("about:blank")
    browser.command("Emulation.setEmulatedMedia", features=[])
    browser.driver.get(page.resolve().as_uri())
    browser.wait("document.querySelector('[data-playing=true]')")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_phone_shows_all_without_scrolling_sideways(page, browser, language):
    for screen in (*SCREENS, "race?surface=ravine", "maps?kind=stability&racer=momentum"):
        open_still(browser, page, f"{screen}{'&' if '?' in screen else '?'}lang={language}", width=360)
        assert browser.ask("document.documentElement.scrollWidth") <= 360, screen


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_axe_finds_nothing(page, browser, dark, language):
    axe = (files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8")
    found = "found.violations.map(each => `${each.id}: ${each.nodes[0].html}`)"
    run = f"const done = arguments[0]; axe.run(document).then(found => done({found}));"
    for screen in (*SCREENS, *STATES[1:3], "race?fair=0", "maps?kind=stability&racer=momentum"):
        open_still(browser, page, f"{screen}{'&' if '?' in screen else '?'}lang={language}", dark=dark)
        browser.ask("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
        browser.driver.execute_script(axe)
        assert browser.driver.execute_async_script(run) == [], screen


def test_the_theme_can_be_chosen(page, browser):
    open_still(browser, page, "race")
    light = browser.ask(CANVASES)
    browser.ask("(e => { e.value = 'dark'; e.dispatchEvent(new Event('change')); })(document.getElementById('theme'))")
    assert browser.ask(CANVASES) != light
    assert browser.ask("getComputedStyle(document.body).backgroundColor") == "rgb(20, 25, 30)"


def test_each_picture_has_words_and_a_table(page, browser):
    for screen in SCREENS[:4] + SCREENS[5:]:
        open_still(browser, page, screen if screen != "network" else "network?steps=10")
        if screen == "maps":
            map_ready(browser)
        pictures = "[...document.querySelectorAll('figure')].filter(figure => !figure.hidden)"
        has = "figure.querySelector('.sentence').textContent && figure.querySelector('table tbody tr')"
        bare = browser.ask(f"{pictures}.filter(figure => !({has})).map(figure => figure.id)")
        assert bare == [], screen
    choose(browser, "points", "own")
    assert "no points" in browser.texts("#figure-decision .sentence")[0]
