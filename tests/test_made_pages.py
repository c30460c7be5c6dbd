"""What pages say of the code in lists and tables is made from the code, and a verb is asked what its signature says."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest
import typer

from thalweg.catalogue import CLASSES
from thalweg.lab.cli.commands import app
from thalweg.lab.cli.verbs import VERBS, besides
from thalweg.lab.verbs.verb import Option, verb
from thalweg.rules import RULES, rules

ROOT = Path(__file__).parent.parent
COMMANDS = typer.main.get_command(app).commands
PYTHON_ONLY = {"progress"}


@pytest.mark.apart
def test_the_made_parts_of_pages_are_as_the_code_has_them():
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "generate" / "tables.py"), "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("one", VERBS, ids=lambda verb: verb.__name__)
def test_a_command_is_asked_what_the_function_takes(one):
    command = COMMANDS[one.__name__.replace("_", "-")]
    taken = set(inspect.signature(one).parameters)
    after = {asked.name for asked in besides(one)}
    assert {parameter.name for parameter in command.params} - {"help"} == taken - PYTHON_ONLY | after
    for parameter in command.params:
        assert parameter.name == "help" or parameter.help
    assert [f"\n    {name}: " in (one.__doc__ or "") for name in taken] == [True] * len(taken)


@pytest.mark.parametrize("one", VERBS, ids=lambda verb: verb.__name__)
def test_a_commands_defaults_are_the_functions(one):
    """Or nothing, which leaves the function its own."""
    defaults = {name: p.default for name, p in inspect.signature(one).parameters.items()}
    for parameter in COMMANDS[one.__name__.replace("_", "-")].params:
        if parameter.name in defaults and not parameter.required:
            assert parameter.default is None or parameter.default == defaults[parameter.name]


def test_an_option_of_a_new_verb_is_its_signature_s():
    def weigh(model: Annotated[str, Option("What is weighed.", argument=True)], *, exactly: bool = False) -> None:
        """Weigh it."""

    with pytest.raises(TypeError, match="weigh: exactly has no Option"):
        verb(weigh)


def test_every_rule_that_lies_in_the_folder_is_in_a_class():
    assert set(RULES) == {rule.name for cls in CLASSES for rule in cls.rules}
    files = {path.stem for path in (ROOT / "src" / "thalweg" / "rules").glob("*.py")} - {"__init__"}
    assert files <= set(RULES)


def test_a_rule_that_is_not_there_is_refused():
    with pytest.raises(KeyError, match="adm"):
        rules("adam adm")
