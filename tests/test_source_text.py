"""A kernel is made from the text that was imported, or not at all: `reference` runs the function itself."""

import importlib
import linecache
import os
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest
import torch

import thalweg
from thalweg import Rule, RuleError

WRITTEN = '''
from thalweg.rule.hyperparameters import Rate
from thalweg.rule.words import sign

def per_step(step, *, lr: Rate = 0.5):
    """A fixed rate."""
    return {"lr": lr}

def per_element(p, g, *, lr):
    p = p - lr * g
    return p
'''
OTHER = """
def another(p, g, *, lr):
    p = p - lr * g * 100.0
    return p
"""


def rule_of(module) -> Rule:
    return Rule(name="mine", title="-", source="-", per_step=module.per_step, per_element=module.per_element)


def stepped(rule: Rule, engine: str) -> float:
    p = torch.nn.Parameter(torch.ones(3))
    p.grad = torch.ones(3)
    thalweg.optimizer(rule)([p], engine=engine).step()
    return p[0].item()


@pytest.fixture
def imported(tmp_path, monkeypatch):
    """A module that was imported, and its file. Nothing has looked at its text yet."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    file = tmp_path / "written_rule.py"
    file.write_text(WRITTEN)
    sys.modules.pop("written_rule", None)
    importlib.invalidate_caches()
    linecache.cache.pop(str(file), None)
    yield importlib.import_module("written_rule"), file
    sys.modules.pop("written_rule", None)


def agree(rule: Rule) -> None:
    assert stepped(rule, "cpu") == stepped(rule, "reference") == 0.5


def test_a_definition_edited_after_the_import_is_refused(imported):
    module, file = imported
    file.write_text(WRITTEN.replace("p - lr * g", "p - 2.0 * lr * g"))
    with pytest.raises(RuleError, match=r"written_rule\.py no longer holds the text .* per_element was edited since"):
        rule_of(module)


@pytest.mark.parametrize("edit", ["p + lr * g", "p - lr * sign(g)", "p - lr * g * 1"])
def test_every_kind_of_edit_is_seen(imported, edit):
    module, file = imported
    file.write_text(WRITTEN.replace("p - lr * g", edit))
    with pytest.raises(RuleError, match="edited since"):
        rule_of(module)


def test_one_number_for_another_of_equal_value_is_an_edit_too(imported):
    """1 and 1.0 are equal to Python; -0.0 and 0.0 as well. Not in an equation."""
    module, file = imported
    file.write_text(WRITTEN.replace("p - lr * g", "p - lr * g * 0.0"))
    module = importlib.reload(module)
    file.write_text(WRITTEN.replace("p - lr * g", "p - lr * g * -0.0"))
    linecache.cache.pop(str(file), None)
    with pytest.raises(RuleError, match="edited since"):
        rule_of(module)


def test_lines_inserted_above_change_nothing(imported):
    """Another definition stands where the rule's was; and the file itself is still read rightly."""
    module, file = imported
    first = module.per_element.__code__.co_firstlineno
    lines = WRITTEN.splitlines()
    file.write_text("\n".join([*lines[: first - 1], *OTHER.strip().splitlines(), "", *lines[first - 1 :]]))
    agree(rule_of(module))


def test_a_file_edited_elsewhere_or_away_is_as_good_while_its_text_is_remembered(imported):
    module, file = imported
    linecache.getlines(str(file))  # as any traceback does
    file.write_text(WRITTEN.replace("p - lr * g", "p + lr * g"))
    agree(rule_of(module))
    file.unlink()
    agree(rule_of(module))


def test_a_module_that_was_loaded_again_is_its_new_self(imported):
    module, file = imported
    agree(rule_of(module))
    file.write_text(WRITTEN.replace("p - lr * g", "p - 2.0 * lr * g"))
    rule = rule_of(importlib.reload(module))
    assert stepped(rule, "cpu") == stepped(rule, "reference") == 0.0


def test_the_equations_that_are_shown_are_those_that_were_imported(imported):
    module, file = imported
    file.write_text(WRITTEN.replace('"lr": lr', '"lr": 2 * lr'))
    rule = rule_of(module)
    assert "2 * lr" not in rule.equations and "its text is not at hand" in rule.equations
    agree(rule)


def test_a_wrapper_is_not_taken_for_what_it_wraps(tmp_path, monkeypatch):
    """`reference` would call the wrapper, and the kernel be made from the text inside."""
    monkeypatch.syspath_prepend(tmp_path)
    wrapped = WRITTEN.replace("def per_element", "@doubled\ndef per_element").replace(
        "def per_step",
        "import functools\ndef doubled(f):\n    @functools.wraps(f)\n    def inner(*args, **numbers):\n"
        "        return f(*args, **numbers) * 2\n    return inner\n\ndef per_step",
    )
    (tmp_path / "wrapped_rule.py").write_text(wrapped)
    importlib.invalidate_caches()
    module = importlib.import_module("wrapped_rule")
    with pytest.raises(RuleError, match="the tensors come first"):
        rule_of(module)


def test_a_decorator_that_only_registers_is_fine(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    text = WRITTEN.replace("def per_element", "@keep\ndef per_element")
    (tmp_path / "registered_rule.py").write_text(text.replace("def per_step", "keep = lambda f: f\n\ndef per_step"))
    importlib.invalidate_caches()
    agree(rule_of(importlib.import_module("registered_rule")))


def test_a_rule_in_a_zip_works(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "rules.zip", "w") as archive:
        archive.writestr("zipped_rule.py", WRITTEN)
    monkeypatch.syspath_prepend(tmp_path / "rules.zip")
    agree(rule_of(importlib.import_module("zipped_rule")))


def test_a_rule_in_a_cell_of_a_notebook_works():
    """A notebook and the prompt of Python 3.13 put each cell's text into linecache."""
    name = "<cell 7>"
    linecache.cache[name] = (len(WRITTEN), None, WRITTEN.splitlines(keepends=True), name)
    scopes: list[dict] = [{"__name__": "__main__"}, {}]
    for scope in scopes:
        exec(compile(WRITTEN, name, "exec"), scope)
        rule = Rule(name="mine", title="-", source="-", per_step=scope["per_step"], per_element=scope["per_element"])
        agree(rule)
        assert rule.paper == ""
        thalweg.optimizer(rule)([torch.nn.Parameter(torch.ones(2))])
    del linecache.cache[name]


def test_a_function_without_text_is_refused_with_what_works():
    scope: dict = {}
    exec(WRITTEN, scope)
    with pytest.raises(RuleError, match=r"its source cannot be read; define it with def in a file, a module in a zip"):
        Rule(name="mine", title="-", source="-", per_step=scope["per_step"], per_element=scope["per_element"])


PROMPT = WRITTEN.replace('    """A fixed rate."""\n', "") + textwrap.dedent("""
    import thalweg
    try:
        rule = thalweg.Rule(name="mine", title="-", source="-", per_step=per_step, per_element=per_element)
        print("made", rule.element.parameter)
    except thalweg.RuleError as error:
        print("refused", error)

""")


@pytest.mark.apart
def test_at_the_prompt_it_works_or_says_what_does():
    """Python before 3.13 forgets what was typed."""
    environment = {**os.environ, "PYTHON_BASIC_REPL": "1"}
    text = PROMPT.replace("\n\n", "\n").replace("\n    return p\n", "\n    return p\n\n").replace("lr}\n", "lr}\n\n")
    done = subprocess.run(
        [sys.executable, "-i"], input=text, capture_output=True, text=True, env=environment, timeout=120, check=True
    )
    works = "made p" in done.stdout
    assert works or "define it with def in a file, a module in a zip, a notebook's cell" in done.stdout, done.stderr
    assert works == (sys.version_info >= (3, 13))


@pytest.mark.apart
@pytest.mark.parametrize("options", [["-O"], ["-OO"], []])
def test_whatever_python_leaves_out_of_the_code(options, tmp_path):
    """-O drops assertions and -OO docstrings: the text is compiled as the module was."""
    text = WRITTEN.replace("(p, g, *, lr):\n", '(p, g, *, lr):\n    """Plain descent."""\n')
    (tmp_path / "plain_rule.py").write_text(text)
    program = (
        "import plain_rule, thalweg; thalweg.Rule(name='a', title='-', source='-', "
        "per_step=plain_rule.per_step, per_element=plain_rule.per_element); print('made')"
    )
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(
        [sys.executable, *options, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        cwd=Path.home() if Path.home().exists() else "/",
        timeout=120,
    )
    assert done.stdout == "made\n", done.stderr
