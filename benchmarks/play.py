"""How smoothly the page of `thalweg play` runs in Chromium: frames of a race of eight, and the maps.

    python benchmarks/play.py            # prints; --out FILE writes the same lines

A frame's script is the time that the page's own code takes of a frame; frames are the times between two of them. With a
browser that draws in software, as without a GPU, frames say more of the browser than of the page.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "lab"))

import itertools

from browser import Browser, running

from thalweg.play.page import html

EIGHT = "adam;radam;momentum;rmsprop;adagrad;lion;nadam;adamax"
WATCH = """
window.frames_ = []; window.scripts_ = [];
const native = requestAnimationFrame;
requestAnimationFrame = action => native(now => {
  const began = performance.now();
  action(now);
  scripts_.push(performance.now() - began);
});
(function tick(now) { frames_.push(now); native(tick); })(performance.now());
"""
SECONDS = 5


def race(browser: Browser, page: Path) -> str:
    browser.open(page, screen=f"race?surface=rosenbrock&racers={EIGHT}&steps=2000&speed=300")
    browser.driver.execute_script(WATCH)
    browser.click("[data-action=play]")
    time.sleep(SECONDS)
    stamps, scripts = browser.ask("[frames_, scripts_]")
    frames = sorted(b - a for a, b in itertools.pairwise(stamps))
    scripts = sorted(scripts)
    between, script = (
        f"median {statistics.median(each):.2f} ms, 95 % within {each[int(0.95 * len(each))]:.2f} ms"
        for each in (frames, scripts)
    )
    return f"race of 8, 300 steps/s, {SECONDS} s: {len(frames)} frames; between two {between}; script a frame {script}"


def stepping(browser: Browser, page: Path) -> str:
    """The runs alone: 8 racers x 20 steps."""
    browser.open(page, screen=f"race?surface=rosenbrock&racers={EIGHT}&steps=20")
    once = "(began => (paths(spec), performance.now() - began))(performance.now())"
    took = browser.ask(f"(spec => Array.from({{length: 200}}, () => {once}))(specOf(state.race))")
    return f"8 racers x 20 steps: median {statistics.median(took):.3f} ms"


def maps(browser: Browser, page: Path) -> list[str]:
    lines = []
    for screen in (
        "maps",
        "maps?surface=rosenbrock&racer=lamb(lr=0.05)",
        "maps?kind=stability&racer=momentum",
        "maps?kind=final",
    ):
        browser.open(page, screen=screen)
        end = time.monotonic() + 120
        while not browser.ask("document.querySelector('.map').dataset.ready === '1'"):
            assert time.monotonic() < end, screen
            time.sleep(0.05)
        first, full = browser.ask("(d => [+d.first, +d.full])(document.querySelector('.map').dataset)")
        lines.append(f"{screen}: first paint {first:.0f} ms, all {full:.0f} ms")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        page.write_text(html(), encoding="utf-8")
        lines = [f"page: {page.stat().st_size / 1000:.0f} kB"]
        with running(Path(folder) / "profile") as browser:
            version = browser.driver.capabilities["browserVersion"]
            lines += [
                f"Chromium {version}, headless",
                stepping(browser, page),
                race(browser, page),
                *maps(browser, page),
            ]
    text = "\n".join(lines)
    print(text)
    if out:
        out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
