"""The house as CONTRIBUTING.md draws it: no circle in any folder, imports run down the listing, files are short.

Imports under TYPE_CHECKING are left out; those inside functions count, as a circle that is put off is a circle.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src"
PACKAGE = SOURCE / "thalweg"
MOST_FLOORS = 11
RETIRED_DRAWERS = {"utils", "base", "helpers", "common", "misc"}
LISTINGS = {  # from the ground up: a name may import from those before it
    "thalweg": [
        *(
            "rule",
            "rules",
            "tensors",
            "update",
            "plan",
            "engines",
            "roles",
            "optimizers",
            "optim",
            "lookup",
            "catalogue",
        ),
        *("conformance", "differences", "lens", "play", "lab", "cli", "__main__"),
    ],
    "thalweg.lab": [
        *(
            "passwords",
            "errors",
            "printable",
            "random",
            "isolation",
            "task",
            "arguments",
            "training",
            "own_loop",
            "cost",
            "runners",
            "search",
        ),
        *("study", "judging", "recording", "exports", "report", "results", "verbs", "cli"),
    ],
}


def modules() -> dict[str, Path]:
    """Every file of the package by its dotted name; a folder's `__init__.py` has the folder's."""
    named = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        named[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return named


MODULES = modules()
FOLDERS = sorted(name for name, path in MODULES.items() if path.name == "__init__.py")


def imported(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def graph() -> dict[str, set[str]]:
    """From every module to the modules it imports."""
    found: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        found[module] = set()
        for name in imported(path):
            while name and name not in MODULES:
                name = name.rpartition(".")[0]
            if name and name != module:
                found[module].add(name)
    return found


def within(folder: str) -> dict[str, set[str]]:
    """The graph between a folder's children. Its own `__init__.py` stands above them, and is left out."""
    children: dict[str, set[str]] = {}
    for module, targets in graph().items():
        child = child_of(folder, module)
        if child:
            children.setdefault(child, set()).update(filter(None, (child_of(folder, t) for t in targets)))
    return {child: targets - {child} for child, targets in children.items()}


def child_of(folder: str, module: str) -> str:
    return module.removeprefix(folder + ".").split(".")[0] if module.startswith(folder + ".") else ""


def circles(arrows: dict[str, set[str]]) -> list[str]:
    """Those from which imports lead back to themselves."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = list(arrows[start])
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                waiting.extend(arrows.get(name, ()))
        return seen

    return sorted(name for name in arrows if name in reached(name))


def floors(arrows: dict[str, set[str]]) -> int:
    @cache
    def height(name: str) -> int:
        return 1 + max((height(below) for below in arrows.get(name, ())), default=0)

    return max(map(height, arrows))


def test_a_circle_is_seen():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c"]
    assert floors({"a": {"b"}, "b": {"c"}, "c": set()}) == 3


def test_no_circle_among_files():
    without_init = {name: {t for t in targets if t not in FOLDERS} for name, targets in graph().items()}
    assert circles(without_init) == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_circle_in_a_folder(folder):
    assert circles(within(folder)) == []


@pytest.mark.parametrize("folder", LISTINGS)
def test_imports_run_down_the_listing(folder):
    listing, arrows = LISTINGS[folder], within(folder)
    assert set(arrows) == set(listing)
    upwards = {
        f"{child} imports {target}"
        for child, targets in arrows.items()
        for target in targets
        if listing.index(target) > listing.index(child)
    }
    assert upwards == set()


@pytest.mark.parametrize("folder", LISTINGS)
def test_the_listing_is_that_of_the_page(folder):
    tree = (SOURCE.parent / "CONTRIBUTING.md").read_text().partition("src/thalweg/\n")[2].partition("```")[0]
    shown = {*re.findall(r"\w+", tree)}
    assert [name for name in LISTINGS[folder] if name not in shown | {"cli", "__main__"}] == []


@pytest.mark.parametrize("folder", LISTINGS)
def test_the_house_is_low(folder):
    assert floors(within(folder)) <= MOST_FLOORS


def test_files_are_short_and_named_for_what_they_hold():
    assert [path for path in MODULES.values() if len(path.read_text().splitlines()) > 400] == []
    assert {name.rpartition(".")[2] for name in MODULES} & RETIRED_DRAWERS == set()
