"""Links in the Markdown files, as a reader of the repository follows them: files, anchors, the form of addresses.

Each aim has its page within two clicks. The site's own links are tested where the site is built (tests/site).
"""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from thalweg.catalogue import CATALOGUE

ROOT = Path(__file__).parent.parent
FILES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "examples").glob("*.md"),
        *(ROOT / "benchmarks").glob("*.md"),
    ]
)
LINK = re.compile(r"(?<!`)\]\(([^()\s]*(?:\([^()\s]*\)[^()\s]*)*)\)")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
AIMS = {
    "train a vision model on one GPU": "docs/how_to/frameworks.md#one-gpu",
    "fine-tune a language model": "docs/how_to/frameworks.md#hugging-face-trainer-and-trl",
    "learn why Adam works": "docs/play.md",
    "invent a rule": "docs/add_a_rule.md",
    "train on a CPU only": "docs/how_to/cpu.md",
}


def links(path: Path) -> list[str]:
    return LINK.findall(FENCE.sub("", path.read_text()))


def anchors(path: Path) -> set[str]:
    """As GitHub makes them of headings, and those that the text sets itself."""
    text = FENCE.sub("", path.read_text())
    headings = [
        re.sub(r"\[([^]]*)\]\([^)]*\)|[`*]", r"\1", each) for each in re.findall(r"^#+ +(.*?) *$", text, re.MULTILINE)
    ]
    slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return slugs | set(re.findall(r'<a (?:id|name)="([^"]+)"', text))


def generated(target: Path) -> bool:
    """The reference's pages are made when the site is built."""
    parts = target.relative_to(ROOT / "docs").parts if target.is_relative_to(ROOT / "docs") else ()
    return parts[:1] == ("reference",) and (parts[1] != "rules" or target.stem in {"index", *CATALOGUE})


def wrong(path: Path, link: str) -> str | None:
    """What is wrong with a link of a file, if anything."""
    if re.match(r"[a-z]+:", link):
        address = urlsplit(link)
        formed = address.scheme == "https" and "." in address.netloc and "example" not in address.netloc
        return None if formed else f"{link}: not the address of a site"
    name, _, anchor = unquote(link).partition("#")
    target = (path.parent / name).resolve() if name else path
    if generated(target):
        return None
    if not target.exists():
        return f"{link}: no such file"
    if anchor and target.suffix == ".md" and anchor not in anchors(target):
        return f"{link}: no such heading"
    return None


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_link_leads_nowhere(path):
    assert [fault for fault in (wrong(path, link) for link in links(path)) if fault] == []


@pytest.mark.parametrize(
    "link", ["no_such.md", "../README.md#no-such-heading", "reference/rules/adm.md", "http:/x", "https://example.com/a"]
)
def test_a_wrong_link_is_seen(link):
    assert wrong(ROOT / "docs" / "index.md", link) is not None


@pytest.mark.parametrize("aim", AIMS)
def test_an_aims_page_is_two_clicks_away(aim):
    """From README.md by way of docs/index.md, whose row of that aim names the page first; in Chinese, too."""
    index = ROOT / "docs" / "index.md"
    for readme in ("README.md", "README.zh.md"):
        assert "docs/index.md" in links(ROOT / readme)
    [row] = [line for line in index.read_text().splitlines() if line.startswith(f"| {aim} |")]
    first = LINK.findall(row)[0]
    assert f"docs/{first}" == AIMS[aim]
