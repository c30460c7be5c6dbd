"""The command line: what it prints, and one clear line and exit code 2 for what cannot be done."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import little
import pytest
from typer.testing import CliRunner

from thalweg.catalogue import CATALOGUE
from thalweg.lab.commands import app


def run(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(words))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def test_compare_a_users_file(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(little.FILE)
    words = (
        "compare",
        f"{tmp_path / 'mine.py'}:task",
        "--optimizers",
        "sgd, adam",
        "--trials",
        "2",
        "--out",
        str(tmp_path / "s"),
    )
    code, out, error = run(*words)
    assert (code, error) == (0, "")
    assert out.startswith(f"10 trainings; the study is in {tmp_path / 's'}\n")
    assert "sgd" in out and "adam" in out and f"report: {tmp_path / 's' / 'report.html'}" in out
    assert (tmp_path / "s" / "report.html").exists()
    code, out, _ = run(*words)
    assert code == 0 and "10 trainings, 10 of them done before" in out
    code, _, error = run(*words, "--epochs", "5")
    assert code == 2 and "task.epochs: 3 -> 5" in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("compare", "no.py"), "task: no file no.py; must be a built-in task (digits, "),
        (("compare", "nothing"), "task: got 'nothing'; must be"),
        (("compare", "digits", "--optimizers", "adamm"), "adamm"),
        (("compare", "digits", "--preset", "fast"), "preset: got 'fast'; must be quick, standard, thorough"),
        (("compare", "digits", "--trials", "0"), "trials: got 0; must be a whole number of at least 1"),
        (("show", "adamm"), "adamm"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(words: tuple[str, ...], message: str) -> None:
    code, out, error = run(*words)
    assert code == 2 and out == ""
    assert message in error and error.count("\n") == 1 and error.startswith("thalweg: ")


def test_a_task_that_breaks_or_has_no_scalar_loss(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("import torch\nraise RuntimeError('first line\\nsecond line')\n")
    code, out, error = run("compare", str(path))
    assert (code, out, error) == (2, "", f"thalweg: task: {path}, line 2: RuntimeError: first line\n")
    path.write_text(little.FILE.replace("CrossEntropyLoss()", "CrossEntropyLoss(reduction='none')"))
    code, _, error = run("compare", str(path), "--out", str(tmp_path / "s"))
    assert code == 2 and error.startswith("thalweg: loss: returned a tensor of shape (32,); must be a scalar")
    assert not (tmp_path / "s").exists()


def test_rules_lists_the_catalogue() -> None:
    code, out, _ = run("rules")
    assert code == 0 and [line.split()[0] for line in out.splitlines()[1:]] == list(CATALOGUE)


@pytest.mark.parametrize("name", CATALOGUE)
def test_show(name: str) -> None:
    code, out, _ = run("show", name)
    rule = CATALOGUE[name].rule
    assert code == 0 and rule is not None
    for part in (rule.title, rule.source, rule.paper, rule.equations, "lr >= 0", rule.departures):
        assert part in out


def test_without_the_extra_the_way_to_get_it_is_said() -> None:
    script = "import sys; sys.modules['typer'] = None; from thalweg.cli import main; main()"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.returncode == 1 and "pip install 'thalweg[lab]'" in result.stderr
    assert "Traceback" not in result.stderr


def test_help_imports_nothing_heavy() -> None:
    heavy = "{'bokeh', 'sklearn', 'pandas', 'statsmodels', 'scipy'}"
    script = f"import sys; import thalweg.lab.commands; print(sorted({heavy} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
