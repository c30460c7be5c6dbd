"""What the tests of the page ask of it: its pictures as bytes, its numbers by name, its complaints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lab.browser import Browser

CANVASES = "[...document.querySelectorAll('canvas')].map(canvas => canvas.toDataURL())"


def complaints(browser: Browser) -> tuple[list[str], list[str]]:
    """What the console said, and what was asked of the network: a worker's own text is neither."""
    said, sent = browser.log()
    return said, [url for url in sent if not url.startswith("blob:")]


def number(browser: Browser, name: str) -> float:
    """The number that the page shows under this name."""
    texts = browser.texts(f'[data-name="{name}"]')
    assert texts, f"the page shows no {name}"
    return float(texts[0].replace("−", "-").replace("%", ""))


def run(browser: Browser, name: str, *values: Any) -> Any:
    """What a script of the folder `scripts` returns."""
    text = (Path(__file__).parent / "scripts" / f"{name}.js").read_text(encoding="utf-8")
    return browser.driver.execute_script(text, *values)


def choose(browser: Browser, control: str, value: str) -> None:
    """Choose from a list, as a reader does."""
    _set(browser, f"[data-control='{control}']", value)


def type_number(browser: Browser, name: str, value: float) -> None:
    """Type a number into the box beside a slider."""
    _set(browser, f"[data-number='{name}']", value)


def _set(browser: Browser, selector: str, value: str | float) -> None:
    element = "document.querySelector(arguments[0])"
    change = f"{element}.value = arguments[1]; {element}.dispatchEvent(new Event('change'))"
    browser.driver.execute_script(change, selector, value)


def keys(browser: Browser, *names: str) -> None:
    """Press keys, one after the other, on what has the focus."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    for name in names:
        ActionChains(browser.driver).send_keys(getattr(Keys, name, name)).perform()


def map_ready(browser: Browser) -> Any:
    return browser.wait("document.querySelector('.map')?.dataset.ready === '1'")


def hash_of(browser: Browser) -> str:
    """The address's hash, once the page has written it."""
    browser.ask("writeHash()")
    return str(browser.ask("location.hash"))[1:]


def open_still(browser: Browser, path: Path, screen: str, width: int = 1280, dark: bool = False) -> None:
    """Open the page with nothing moving in it."""
    browser.open(path, width, screen, dark)
    browser.wait("!document.querySelector('[data-playing=true]')")
