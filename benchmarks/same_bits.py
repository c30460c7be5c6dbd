"""The table of the same bits, by rule and precision: the page's runs in Chromium beside those of `reference`.

    python benchmarks/same_bits.py

Each rule of the page at its defaults over three surfaces for 300 steps, and on a tensor of 50 numbers under gradients
over some powers of ten. Writes src/thalweg/play/bits.json, which the page shows, and the table of docs/play.md.
"""

# ruff: noqa: E402  (the path comes before what is found by it)
from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.pop(0)  # this folder, whose lab.py and play.py stand in the way
sys.path.insert(0, str(ROOT / "tests"))

from play import bits
from play.engine import FOLLOW, translated

from lab.browser import Browser, running
from thalweg.engines import javascript
from thalweg.play import scenery
from thalweg.play.page import absent


class InBrowser:
    """A page's own functions."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser

    def eval(self, code: str) -> Any:
        return self.browser.driver.execute_script(f"return {code}")


def main() -> None:
    entries = translated()
    script = "\n".join(
        [javascript.script(each.rule for each in entries if each.rule), scenery.javascript(), FOLLOW, bits.WALK]
    )
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "engine.html"
        page.write_text(f"<!doctype html><meta charset=utf-8><script>{script}\nwindow.walk = walk</script>")
        with running(Path(folder) / "profile") as browser:
            browser.driver.get(page.as_uri())
            version = browser.driver.capabilities["browserVersion"]
            rows = {}
            for entry in entries:
                rows[entry.name] = bits.row(InBrowser(browser), entry)
                print(entry.name, rows[entry.name], flush=True)
    made = {"browser": f"Chromium {version}", "steps": bits.STEPS, "many": bits.MANY, "rules": rows}
    out = ROOT / "src" / "thalweg" / "play" / "bits.json"
    out.write_text(json.dumps(made, separators=(",", ":")) + "\n", encoding="utf-8")
    docs = ROOT / "docs" / "play.md"
    table = f"<!-- same bits -->\n\n{bits.markdown(rows, absent())}\n\n<!-- end -->"
    text = docs.read_text(encoding="utf-8")
    docs.write_text(re.sub("<!-- same bits -->.*?<!-- end -->", lambda _: table, text, flags=re.S), encoding="utf-8")


if __name__ == "__main__":
    main()
