"""What a test must not do, of all tests: end before it has asked, or compare by what passes over NaN."""

import ast
from pathlib import Path

import pytest

FILES = [path for path in sorted(Path(__file__).parent.rglob("*.py")) if path != Path(__file__)]


def functions(path: Path) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]


def own_nodes(function: ast.FunctionDef) -> list[ast.AST]:
    """What is in a function, and not in one inside it."""
    found, todo = [], list(function.body)
    while todo:
        node = todo.pop()
        if not isinstance(node, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            found.append(node)
            todo += ast.iter_child_nodes(node)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_test_returns(path):
    """A case that a test is not for is no parameter of it."""
    for function in functions(path):
        if function.name.startswith("test_"):
            returns = [node.lineno for node in own_nodes(function) if isinstance(node, ast.Return) and not node.value]
            assert returns == [], f"{function.name} returns in line {returns}"


def passes_over_nan(node: ast.AST) -> bool:
    """Python's max or min of a stream: of (1, NaN) it is 1. Of lengths and counts it is fine, and of keys."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("max", "min")):
        return False
    [*given] = node.args
    if (
        len(given) != 1
        or not isinstance(given[0], ast.GeneratorExp | ast.ListComp)
        or any(keyword.arg == "key" for keyword in node.keywords)
    ):
        return False
    names = {part.func.id for part in ast.walk(given[0].elt) if isinstance(part, ast.Call) and hasattr(part.func, "id")}
    return bool(names & {"abs", "float", "distance", "relative", "error", "gap"}) or ".item()" in ast.unparse(given[0])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_distance_passes_over_nan(path):
    """`subjects.largest` does not, nor `all` of comparisons."""
    found = [node.lineno for node in ast.walk(ast.parse(path.read_text())) if passes_over_nan(node)]
    assert found == [], f"lines {found}"
