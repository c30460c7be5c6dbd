"""No module, class or public function goes by a word that was retired: each says what the thing is."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src"
# A participle or a pronoun names nothing; the others had a word of the field's own in their place.
WHOLE_NAMES = {
    *("found", "place", "places", "each", "drawn", "held", "own", "kept", "whole", "made", "inside"),
    *("codes", "storage", "guard", "small", "halves", "watch", "lost", "luck", "patience", "point", "setting"),
}
# These are wrong in any name.
PARTS = {
    *("knob", "knobs", "trainings", "tunings", "recipe", "recipes", "parcel", "cohort", "conduct", "riding"),
    *("spelled", "unguarded", "stage", "stages"),
}


def names_in(tree: ast.AST) -> Iterator[str]:
    """Classes and public functions, those of classes too; what is inside of a function is its own affair."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if isinstance(node, ast.ClassDef) or not node.name.startswith("_"):
                yield node.name
            if not isinstance(node, ast.ClassDef):
                continue
        yield from names_in(node)


def retired(name: str) -> bool:
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+|\d+", name)]
    return "_".join(words) in WHOLE_NAMES or bool(PARTS.intersection(words))


@pytest.mark.parametrize(
    "text", ["class Guard: ...", "def made(): ...", "class _BestKnob: ...", "def parcel_of(): ..."]
)
def test_a_retired_name_is_seen(text):
    [_, name] = names_in(ast.parse(f"class Outer:\n    if True:\n        {text}"))
    assert retired(name)


def test_a_word_that_stays_is_not():
    assert not any(map(retired, ["Placement", "own_rules", "holding", "training", "settings", "lost_worker"]))


def test_no_name_is_a_retired_word():
    files = sorted((SOURCE / "thalweg").rglob("*.py"))
    assert len(files) > 100
    names = [
        (str(path.relative_to(SOURCE)), name)
        for path in files
        for name in [path.parent.name if path.stem == "__init__" else path.stem, *names_in(ast.parse(path.read_text()))]
    ]
    assert [pair for pair in names if retired(pair[1])] == []
