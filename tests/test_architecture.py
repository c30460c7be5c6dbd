"""The house as CONTRIBUTING.md draws it: imports run one way, files are short, no drawer for odds and ends."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "src" / "thalweg"
ORDER = [
    *(
        "words",
        "source_text",
        "equations",
        "hyperparameters",
        "rule",
        "rules",
        "precision",
        "subclasses",
        "memory",
        "storage",
        "codes",
        "stages",
        "cautious",
    ),
    *("recipe", "ages", "processes", "chunks", "signature", "members", "plan", "rows", "small", "foreign", "ondevice"),
    "engines",
    *(
        "states",
        "stepper",
        "norms",
        "guard",
        "loading",
        "checkpoints",
        "unguarded",
        "face",
        "schedule_free",
        "second_order",
        "lanes",
        "classes",
        "release",
        "optim",
        "spelled",
        "catalogue",
    ),
    *("conformance", "differences", "play", "lab", "cli", "__main__"),
]
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def layer(module: str) -> str:
    return module.split(".")[1]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_import_runs_back(path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for node in ast.walk(ast.parse(path.read_text())):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            modules = [node.module or ""]
            if node.module == "thalweg":
                modules = [f"thalweg.{alias.name}" for alias in node.names]
        for module in modules:
            if module.startswith("thalweg."):
                assert ORDER.index(layer(module)) <= ORDER.index(own), f"{own} imports {module}"


def test_files_are_short_and_named_for_what_they_hold():
    assert [path for path in FILES if len(path.read_text().splitlines()) > 400] == []
    assert {path.stem for path in FILES} & {"utils", "base", "helpers", "common", "misc"} == set()
    assert {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in FILES} == set(ORDER)
