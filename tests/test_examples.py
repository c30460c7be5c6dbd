"""The examples that need no framework, made short: each is run as its reader runs it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"


def run(name: str, *arguments: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments], capture_output=True, text=True, cwd=folder, timeout=300,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def numbers(text: str) -> list[float]:
    return [float(each) for each in re.findall(r"\d+\.\d+", text)]


@pytest.mark.apart
def test_the_small_gpt_learns(tmp_path):
    first, last = numbers(run("small_gpt.py", "--steps", "40", folder=tmp_path))
    assert last < 0.8 * first


@pytest.mark.apart
def test_the_convolutional_network_learns(tmp_path):
    accuracies = numbers(run("cnn.py", "--epochs", "3", folder=tmp_path))
    assert len(accuracies) == 3
    assert min(accuracies) > 30  # chance is 10 %


@pytest.mark.apart
def test_the_table_is_compared(tmp_path):
    printed = run("tabular.py", "--trials", "3", folder=tmp_path)
    assert all(name in printed for name in ("adam", "sgd", "lion"))
    assert (tmp_path / "studies" / "breast-cancer" / "report.html").exists()


@pytest.mark.apart
def test_the_new_rule_is_compared_over_a_suite(tmp_path):
    printed = run("new_rule.py", "--trials", "3", "--seeds", "2", "--out", str(tmp_path), folder=tmp_path)
    rows = (tmp_path / "table.csv").read_text().splitlines()
    assert rows[0].startswith("rank,optimizer,verdict,difference") and "digits-cnn_test_low" in rows[0]
    assert len(rows) == 1 + 2
    assert (tmp_path / "table.tex").read_text().count(r"\\") == 1 + 2
    assert "softsign" in printed.lower() and "Written:" in printed


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".ipynb")))
def test_every_example_is_listed(name):
    assert f"]({name})" in (EXAMPLES / "README.md").read_text()
