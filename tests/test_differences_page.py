"""docs/differences.md: every row has its test, every test its row, and the printed example is what is printed."""

import inspect
import re
from pathlib import Path

import pytest

import test_differences
import test_differences_beyond_torch
import thalweg

PAGE = (Path(__file__).parent.parent / "docs" / "differences.md").read_text()
FACTS = {
    name: test
    for module in (test_differences, test_differences_beyond_torch)
    for name, test in vars(module).items()
    if name.startswith("test_")
}
LIBRARIES = ("torch", "timm", "pytorch_optimizer", "optax", "transformers", "schedulefree", "prodigyopt", "thalweg")


def rows() -> list[list[str]]:
    """The cells of the page's tables: name, library, what it does, here, test."""
    lines = [line for line in PAGE.splitlines() if re.match(r"\|(?!---| name )", line)]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_every_row_has_its_test_and_every_test_a_row():
    assert {row[-1].strip("`") for row in rows()} == set(FACTS)
    assert {len(row) for row in rows()} == {5}


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row[-1]}-{row[1]}")
def test_the_test_of_a_row_runs_its_libraries(row):
    source = inspect.getsource(FACTS[row[-1].strip("`")])
    for name in row[1].split(", "):
        assert name in LIBRARIES
        assert re.search(rf"\b{name}\b", source) or (name in ("torch", "thalweg") and "in BOTH" in source)


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row[-1]}-{row[1]}")
def test_what_a_row_names_here_exists(row):
    for name, arguments in re.findall(r"`([A-Z]\w+)(?:\((.*?)\))?`", row[3]):
        settings = inspect.signature(getattr(thalweg.optim, name)).parameters
        for argument in re.findall(r"(\w+)=", arguments):
            assert argument in settings


def test_the_example_is_what_is_printed():
    [command] = re.findall(r"`thalweg explain-difference \"(\S+)\" (\S+)`", PAGE)
    [text] = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    assert str(thalweg.explain_difference(*command)) + "\n" == text
