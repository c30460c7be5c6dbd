"""pyproject.toml asks for what src imports, and for nothing else."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
IMPORTED_AS = {"scikit-learn": "sklearn"}
# What transformers' Trainer and Optuna's CmaEsSampler import, and whose modules the adapter takes without importing it.
BY_ANOTHER = {"accelerate", "cmaes", "lightning"}


def asked_for() -> set[str]:
    """Every package of the dependencies and of the extras that users install, by the name it is imported as."""
    text = (ROOT / "pyproject.toml").read_text()
    extras = text.partition("[project.optional-dependencies]")[2].partition("\npeers = ")[0]
    base = re.findall(r"^dependencies = \[.*?\]$", text, re.MULTILINE | re.DOTALL)
    names = re.findall(r'"([A-Za-z][\w-]*)[><=\[]', "\n".join([*base, extras]))
    return {IMPORTED_AS.get(name, name) for name in names}


def imported() -> set[str]:
    """The outermost packages that src imports, those that `need("optuna", "lab")` imports by name among them."""
    found = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
            elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("need", "import_module"):
                found |= {str(word.value).partition(".")[0] for word in node.args if isinstance(word, ast.Constant)}
    return found


def test_every_dependency_is_imported() -> None:
    names = asked_for()
    assert {"torch", "numba", "bokeh", "ray"} <= names
    assert names - imported() - BY_ANOTHER == set()


def test_a_missing_extra_is_told_with_its_command(monkeypatch) -> None:
    """pandas is an extra of its own: what needs it says so."""
    from thalweg.lab.errors import LabError
    from thalweg.lab.results.answer import Answer
    from thalweg.lens.watching import lens

    monkeypatch.setitem(sys.modules, "pandas", None)
    for call, error in ((Answer.to_pandas, LabError), (lens.to_pandas, ModuleNotFoundError)):
        with pytest.raises(error, match=re.escape("pandas is not installed: pip install 'thalweg[pandas]'")):
            call(None)


def test_what_a_verb_asks_for_is_what_the_extra_brings() -> None:
    """A verb that asks for more would refuse to run in a fresh installation of the lab."""
    from thalweg.lab.verbs.verb import LAB

    lab = re.findall(r"^lab = \[(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.MULTILINE | re.DOTALL)[0]
    brought = {IMPORTED_AS.get(name, name) for name in re.findall(r'"([A-Za-z][\w-]*)[><=\[]', lab)}
    assert set(LAB) <= brought
