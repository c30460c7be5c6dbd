"""docs/conform.md: its table of laws is the list of laws, its program prints what it says, its laws exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from thalweg.conformance import run
from thalweg.conformance.law import LAWS

PAGE = (Path(__file__).parent.parent.parent / "docs" / "conform.md").read_text()


def test_the_table_is_the_list():
    """After a change of the laws, this is what the page must hold."""
    table = "\n".join(f"| {law.theme} | `{law.name}` | {law.meaning} |" for law in LAWS)
    assert f"|---|---|---|\n{table}\n\n" in PAGE
    assert f"tries {len(LAWS)} laws" in PAGE
    assert f"{run.LIMIT:g} seconds a law" in PAGE


@pytest.mark.apart
def test_the_program_prints_what_the_page_says(tmp_path):
    [program] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    [text] = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "page.py").write_text(program)
    done = subprocess.run([sys.executable, tmp_path / "page.py"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout == re.sub(r"torch [\d.]+", f"torch {torch.__version__.partition('+')[0]}", text)


def test_every_law_named_in_the_results_exists():
    named = re.findall(r"^\| `(\w+)` \|", PAGE, re.M) + re.findall(r"^  (\w+): ", PAGE, re.M)
    assert len(named) > 30 and set(named) <= {law.name for law in LAWS}
