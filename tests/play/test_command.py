"""`thalweg play --out FILE --rule FILE:NAME`: what is written, and what is refused with nothing left behind."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from thalweg.lab.cli.commands import app

RULES = """
import torch
from thalweg import Rule
from thalweg.rule.hyperparameters import Rate

def per_step(step, *, lr: Rate = 1e-2):
    return {"eta": lr}

def per_element(p, g, *, eta):
    p = p - eta * g
    return p

def by_softmax(p, g, state, *, eta):
    return {"eta": eta * torch.softmax(g, 0).sum()}

mine = Rule(name="mine", title="Mine", source="", per_step=per_step, per_element=per_element)
strange = Rule(
    name="strange", title="", source="", per_step=per_step, per_element=per_element, per_tensor=by_softmax,
    measures=("eta",),
)
"""


@pytest.fixture
def rules(tmp_path: Path) -> str:
    path = tmp_path / "my_rules.py"
    path.write_text(RULES)
    return str(path)


def asked(*words: str) -> Any:
    return CliRunner().invoke(app, ["play", *words])


def test_the_page_is_one_file_and_holds_the_rule(rules: str, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    told = asked("--out", str(out), "--rule", f"{rules}:mine")
    assert told.exit_code == 0 and told.output.strip() == str(out)
    text = out.read_text(encoding="utf-8")
    assert '"mine"' in text
    assert asked("--out", str(out)).exit_code == 0
    assert '"mine"' not in out.read_text(encoding="utf-8")
    assert out.stat().st_size <= 400_000


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("strange", "my_rules.py:14"),
        ("absent", "it has mine, strange"),
        ("", "must be FILE:NAME"),
    ],
)
def test_what_cannot_race_is_refused_and_nothing_is_written(rule: str, reason: str, rules: str, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    told = asked("--out", str(out), "--rule", f"{rules}:{rule}")
    assert told.exit_code == 2 and reason in told.output and "Traceback" not in told.output
    assert not out.exists()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    told = asked("--out", str(tmp_path / "no" / "page.html"))
    assert told.exit_code == 2 and "out: no folder" in told.output
