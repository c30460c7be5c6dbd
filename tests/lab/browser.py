"""A real browser without a window, and what the tests of reports ask of it."""

from __future__ import annotations

import base64
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

QUIET = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def found() -> tuple[str, str]:
    """Where chromium and its driver are; the test is skipped without them, and fails where they are required."""
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary and driver:
        return binary, driver
    why = "chromium and chromedriver are not installed (Debian: apt-get install chromium chromium-driver)"
    if os.environ.get("THALWEG_BROWSER") == "required":
        pytest.fail(why)
    pytest.skip(why)


class Browser:
    """One page at a time, by a driver."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, path: Path, width: int = 1280, screen: str = "", dark: bool = False) -> None:
        """Open a report and wait until its figures are drawn."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self.command("Emulation.setDeviceMetricsOverride", **size)
        self.dark(dark)
        self.driver.get("about:blank")  # the same file with another #screen would not load anew
        self.log()
        self.driver.get(f"{path.resolve().as_uri()}#{screen}")
        self.wait("document.documentElement.classList.contains('drawn')")

    def dark(self, dark: bool) -> None:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", features=[scheme])

    def command(self, name: str, **settings: Any) -> Any:
        return self.driver.execute_cdp_cmd(name, settings)

    def ask(self, script: str, *values: Any) -> Any:
        """The value of a JavaScript expression; `values` are its arguments[0], [1], ..."""
        return self.driver.execute_script(f"return {script}", *values)

    def wait(self, condition: str, *values: Any) -> Any:
        """Wait until a JavaScript expression is true, and return it."""
        end = time.monotonic() + 20
        while not (answer := self.ask(condition, *values)):
            assert time.monotonic() < end, f"still not so: {condition}"
            time.sleep(0.02)
        return answer

    def click(self, selector: str) -> None:
        from selenium.webdriver.common.by import By

        element = self.driver.find_element(By.CSS_SELECTOR, selector)
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def pointer(self, x: float, y: float) -> None:
        """Move the pointer there, in pixels of the window."""
        self.command("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def texts(self, selector: str) -> list[str]:
        return list(self.ask("[...document.querySelectorAll(arguments[0])].map(e => e.textContent)", selector))

    def pdf(self) -> bytes:
        return base64.b64decode(self.command("Page.printToPDF", printBackground=True)["data"])

    def log(self) -> tuple[list[str], list[str]]:
        """What the page has complained about since the last call, and what it asked the network for."""
        said = [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] in ("WARNING", "SEVERE")]
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        return said, [url for url in sent if not url.startswith(("file:", "data:", "about:"))]


@contextmanager
def running(folder: Path) -> Iterator[Browser]:
    """A browser with a profile of its own, gone when the block ends."""
    binary, path = found()
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*QUIET, f"--user-data-dir={folder}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, Service(path))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
