"""The retired words of CONTRIBUTING's glossary occur in no page, no message, no help and no report.

Pages are read whole; of the source every string is, which holds docstrings, help, messages and the report's text, and
its scripts and style sheets.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "thalweg"
RETIRED = {  # what must not be said: what to say
    r"trainings\b": "runs",
    r"(?:an?|one|each|every|another) training\b"
    r"(?! (?:loop|script|run|step|checkpoint|example|set|loss|task|batch|data)|,)": "a run",
    r"tunings\b": "tuning runs",
    r"round\w*(?: is)? by chance\b": "stochastic rounding",
    r"knobs?\b": "hyperparameter",
    r"same (?:command|call) again (?:resumes|goes)": "rerun the same command to resume",
    r"settings? that goe?s? on\b": "configurations that advance",
    r"practically equal\b": "equivalent within the margin",
    r"(?:are|those|lr) as good\b": "perform equivalently",
    r"as good: lr": "equivalent lr",
    r"four times in five\b": "80 % power",
    r"without a word\b": "silently",
    r"takes what pays\b": "picks the fastest runner",
    r"moves nor ages\b": "is neither updated nor counted",
    r"works? the loss out\b": "re-evaluates the closure",
    r"(?<!there )is no (?:study|number|folder|file|class|module|mapping|rule|string|task|matrix)\b": "is not a ...",
    r"(?:neighbour|colour|initialis|normalis[ei]|centred|centre|favour|behaviour|levelled)\w*": "American",
    r"(?:vectoris|serialis|regularis|modell)\w*": "American",
    r"tumour\w*": "American",
    r"factoris\w*": "American",
    r"(?:shifted|drawn|labels|rounded[\w ]*) by chance\b": "at random",
    r"(?<!-)grey\b": "gray",
    r"(?<!aria-)labelled\b": "labeled",
}
PATTERN = re.compile("|".join(rf"(?P<w{index}>\b(?:{words}))" for index, words in enumerate(RETIRED)), re.IGNORECASE)
# What may be said: the glossary's own definition, a file's name, the words of version 0.1.
# What stands in a function or a class of a built-in task is part of what studies know the task by.
ALLOWED = {
    ("docs/glossary.md", "one training"),
    ("docs/protocol.md", "knobs"),
    ("lab/study/records.py", "knobs"),
    ("benchmarks/knobs.py", "knobs"),
    ("lab/task/builtin/photograph.py", "colours"),
    ("lab/task/builtin/surfaces.py", "a training"),
    ("catalogue.py", "centred"),
}
RULES = re.compile(r"rmsprop_centred\w*")  # names of rules, which studies and checkpoints know them by


def said(text: str) -> Iterator[tuple[int, str]]:
    """Retired words in a text, each with its line."""
    for match in PATTERN.finditer(RULES.sub(lambda name: "_" * len(name[0]), text)):
        yield text.count("\n", 0, match.start()), match[0]


def strings(path: Path) -> Iterator[tuple[int, str]]:
    """Every string of a source file, joined where they are written side by side; names of variables are not words."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def pages() -> list[Path]:
    named = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
    found = [p for folder in ("docs", "examples") for p in sorted((ROOT / folder).rglob("*.md"))]
    return [*named, *found, *sorted((ROOT / "benchmarks").glob("*.md"))]


def sources() -> list[Path]:
    """The package's, and those of examples and benchmarks."""
    return [p for folder in (SOURCE, ROOT / "examples", ROOT / "benchmarks") for p in sorted(folder.rglob("*.py"))]


def notebooks() -> Iterator[tuple[Path, str]]:
    """What a notebook's cells say."""
    for path in sorted((ROOT / "examples").rglob("*.ipynb")):
        for cell in json.loads(path.read_text())["cells"]:
            yield path, "".join(cell["source"])


def reports() -> list[Path]:
    """Reports, the page of play, and the words of both."""
    kinds = ("*.js", "*.css", "*.html", "*en.json")
    return [p for kind in kinds for p in sorted(SOURCE.rglob(kind))]


def name(path: Path) -> str:
    return (path.relative_to(SOURCE) if path.is_relative_to(SOURCE) else path.relative_to(ROOT)).as_posix()


@pytest.mark.parametrize(
    "text",
    [
        *("All trainings failed", "a training ends", "Rounding is by chance", "is no study", "0.1 to 0.2 are as good"),
        *("the grey band", "its neighbours", "The same command again resumes", "Practically equal", "turn every knob"),
    ],
)
def test_a_retired_word_is_seen(text: str) -> None:
    assert list(said(text))


@pytest.mark.parametrize(
    "text", ["a training loop", "there is no study", "twice as good", "fill='var(--grey)'", "no numbers", "runs"]
)
def test_a_word_that_stays_is_not(text: str) -> None:
    assert not list(said(text))


def test_no_page_says_a_retired_word() -> None:
    assert len(pages()) > 20
    found = [(name(p), line + 1, word) for p in pages() for line, word in said(p.read_text())]
    assert [one for one in found if (one[0], one[2]) not in ALLOWED] == []


@pytest.mark.apart
def test_no_message_help_or_report_says_a_retired_word() -> None:
    assert len(sources()) > 150
    found = [
        (name(p), first + line, word) for p in sources() for first, text in strings(p) for line, word in said(text)
    ]
    found += [(name(p), line + 1, word) for p, text in notebooks() for line, word in said(text)]
    found += [(name(p), line + 1, word) for p in reports() for line, word in said(p.read_text())]
    assert [one for one in found if (one[0], one[2]) not in ALLOWED] == []
