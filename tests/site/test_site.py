"""The docs site: built strictly, every public name and every rule has its place, no link leads nowhere, no network."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote

import pytest

from lab import browser
from thalweg.catalogue import CATALOGUE

pytest.importorskip("mkdocs")
pytest.importorskip("material")
pytest.importorskip("mkdocstrings")
ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs" / "generate"))
import reference  # noqa: E402

PUBLIC = reference.public()


class Page(HTMLParser):
    """The anchors of a page, its links, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if tag in ("script", "img") and given.get("src"):
            self.loaded.append(given["src"])
        if tag == "link" and given.get("rel") == "stylesheet":
            self.loaded.append(given["href"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where the site is built."""
    folder = tmp_path_factory.mktemp("site")
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def site(folder) -> dict[str, Page]:
    """Every page of the site by its address."""
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    pages = {name: Page(path.read_text()) for name, path in files.items() if name.endswith(".html")}
    return {**{name: Page("") for name in files}, **pages}


def test_no_link_leads_nowhere(site):
    lost = []
    for name, page in site.items():
        for link in {*page.links, *page.loaded}:
            if re.match(r"[a-z]+:", link) or name == "404.html":
                continue
            target, _, anchor = unquote(link).partition("#")
            at = os.path.normpath(os.path.join(os.path.dirname(name), target)) if target else name
            if at not in site or (anchor and at.endswith(".html") and anchor not in site[at].anchors):
                lost.append(f"{name}: {link}")
    assert lost == []


def test_the_network_is_not_needed(site):
    assert [each for page in site.values() for each in page.loaded if re.match(r"https?:|//", each)] == []


RESULTS = "[...document.querySelectorAll('.md-search-result__item a')].map(a => a.getAttribute('href'))"
ASK = """const field = document.querySelector('[data-md-component=search-query]');
field.focus(); field.value = arguments[0];
for (const kind of ['input', 'keyup']) field.dispatchEvent(new Event(kind, { bubbles: true }));"""


@pytest.mark.parametrize("address", ["index.html", "reference/rules/adam.html"])
def test_the_search_works_in_a_page_opened_as_a_file(folder, tmp_path, address):
    """No server and no network: from a page at the top and from one two folders down."""
    with browser.running(tmp_path) as opened:
        opened.driver.get("about:blank")
        opened.log()
        opened.driver.get((folder / address).as_uri())
        opened.driver.execute_script(ASK, "rectified")
        found = opened.wait(f"{RESULTS}.length && {RESULTS}")
        assert any("reference/rules/radam.html" in link for link in found)
        complaints, requests = opened.log()
        assert complaints == [] and requests == []


@pytest.mark.parametrize("namespace", PUBLIC)
def test_every_public_name_is_in_the_reference(site, namespace):
    module = import_module(namespace)
    public = {*module.__all__, *getattr(module, "_LAZY", ()), *getattr(module, "_HOME", ())}
    names = [name for name in public if not isinstance(getattr(module, name), ModuleType)]
    anchors = site[f"reference/{namespace}.html"].anchors
    assert names and [name for name in names if name.lower() not in anchors] == []


def test_the_public_modules_are_found():
    """Each has a page, and what the docs import is of one of them, but for what they show the inside by."""
    assert set(PUBLIC) == set(reference.PAGES) and {"thalweg", "thalweg.optim", "thalweg.differences"} <= set(PUBLIC)
    pages = [*(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.py"), ROOT / "README.md"]
    imported = {
        name for page in pages for name in re.findall(r"^ *from (thalweg[\w.]*) import", page.read_text(), re.M)
    }
    shown = {"thalweg.engines", "thalweg.update.update", "thalweg.catalogue"}  # the inside, in add_a_rule and lanes
    shown |= {name for name in imported if name.startswith(("thalweg.lab.runners.", "thalweg.lab.training."))}
    assert imported - shown - set(PUBLIC) == set()


def test_every_rule_has_a_page(site):
    """With its equations drawn, and its sections."""
    for name in CATALOGUE:
        assert {"hyperparameters", "state", "speed", "evidence"} <= site[f"reference/rules/{name}.html"].anchors
