"""Make the picture of the report that the README shows: python docs/report.py [STUDY]

Compares as the README's first command does (or takes a study that is there already) and photographs the report's first
screen and its sweep with Chromium.
"""

from __future__ import annotations

import base64
import shutil
import sys
import tempfile
import time
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

WIDTH, MOST = 1280, 300_000


def photograph(report: Path, screen: str, height: int) -> bytes:
    """One screen of a report as a PNG."""
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (binary and driver):
        sys.exit("chromium and chromedriver are not installed: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    with tempfile.TemporaryDirectory() as profile:
        for flag in ("--headless=new", "--no-sandbox", "--hide-scrollbars", f"--user-data-dir={profile}"):
            options.add_argument(flag)
        browser = webdriver.Chrome(options, Service(driver))
        try:
            size = {"width": WIDTH, "height": height, "deviceScaleFactor": 1, "mobile": False}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            browser.get(f"{report.resolve().as_uri()}#{screen}")
            while not browser.execute_script("return document.documentElement.classList.contains('drawn')"):
                time.sleep(0.1)
            time.sleep(1)  # the figures are painted in the frames that follow
            return base64.b64decode(browser.get_screenshot_as_base64())
        finally:
            browser.quit()


def main() -> None:
    from thalweg.lab.verbs.compare import compare

    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("studies/report")
    if not (folder / "report.html").exists():
        compare("mnist1d", preset="quick", out=folder)
    for name, screen, height in (("report.png", "answer", 1040), ("report_sweep.png", "sweep", 790)):
        picture = photograph(folder / "report.html", screen, height)
        assert len(picture) <= MOST, f"{name} has {len(picture)} bytes; must have {MOST} at most"
        (Path(__file__).parent / name).write_bytes(picture)
        print(f"docs/{name}: {len(picture)} bytes")


if __name__ == "__main__":
    main()
