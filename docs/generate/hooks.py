"""What MkDocs asks for while it builds: the generated pages, and the repository's own files that pages link to."""

from __future__ import annotations

import posixpath
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

LINK = re.compile(r"(\]\(|(?:src|href)=\")(?!https?:|mailto:|#|data:)([^)\"\s#]+)")
FETCHED = re.compile(r"src=\"?https://unpkg\.com/iframe-worker/shim\"?")
COPIED = (
    *("README.md", "README.zh.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE", "CITATION.cff"),
    *("pyproject.toml", "benchmarks/*.md", "benchmarks/results/*.md", "benchmarks/results/*.txt", "examples/*"),
)


def copied() -> list[str]:
    """Files outside of docs that have a place in the site, under `repository/`."""
    found = (path for pattern in COPIED for path in ROOT.glob(pattern) if path.is_file())
    return sorted(str(path.relative_to(ROOT)) for path in found)


def on_files(files: Files, config: Any) -> Files:
    sys.path.insert(0, str(HERE))  # MkDocs puts the path back after it has loaded a hook
    import reference
    import rule_pages

    for address, text in {**reference.pages(), **rule_pages.pages()}.items():
        files.append(File.generated(config, address, content=text))
    for name in copied():
        files.append(File.generated(config, site_name(name), abs_src_path=str(ROOT / name)))
    return files


def site_name(name: str) -> str:
    """A README stays beside the pages of its folder, under its own name: MkDocs would make it the folder's index."""
    path = posixpath.join("repository", name)
    return path.replace("README", "read_me")


def on_page_markdown(markdown: str, page: Page, config: Any, files: Files) -> str:
    """Links that are right in the repository lead to the same files in the site."""
    source = page.file.src_uri
    inside = source.startswith("repository/")
    known = set(copied())
    here = source.removeprefix("repository/").replace("read_me", "README") if inside else f"docs/{source}"

    def moved(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(here), match[2]))
        if target.startswith("docs/"):
            to = target.removeprefix("docs/")
        elif target in known:
            to = site_name(target)
        else:
            return match[0]
        return match[1] + posixpath.relpath(to, posixpath.dirname(source) or ".")

    return LINK.sub(moved, markdown)


def on_post_page(output: str, page: Page, config: Any) -> str:
    """The search of a page opened as a file: by our script, where the theme would fetch one from the network."""
    here = posixpath.dirname(page.file.dest_uri) or "."
    return FETCHED.sub(f'src="{posixpath.relpath("search_worker.js", here)}"', output)


def on_post_template(output: str, template_name: str, config: Any) -> str:
    return FETCHED.sub('src="search_worker.js"', output)
