"""A run of the tests leaves nothing in the temporary folder but what pytest keeps of failed ones."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

MESSY = """
import subprocess, sys, tempfile

def test_writes():
    tempfile.mkdtemp()
    subprocess.run([sys.executable, "-c", "import tempfile; print(tempfile.mkdtemp())"], check=True)

def test_in_pytests_folder(tmp_path):
    (tmp_path / "file").write_text("text")
"""


def leftovers(tmp_path: Path, *arguments: str) -> list[str]:
    there = tmp_path / "t"
    there.mkdir()
    (tmp_path / "test_messy.py").write_text(MESSY)
    (tmp_path / "pytest.ini").write_text("[pytest]\ntmp_path_retention_policy = failed\n")
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "TMPDIR": str(there), "PYTHONPATH": path}
    environment.pop("PYTEST_DEBUG_TEMPROOT", None)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments, "test_messy.py"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, stdout=subprocess.DEVNULL)
    return [each.name for each in there.rglob("*") if not each.name.startswith("pytest-")]


def test_nothing_is_left(tmp_path):
    assert leftovers(tmp_path, "-p", "temporary") == []


@pytest.mark.apart
def test_nothing_is_left_by_workers(tmp_path):
    assert leftovers(tmp_path, "-p", "temporary", "-n", "1") == []


def test_without_it_there_is(tmp_path):
    assert len(leftovers(tmp_path)) == 2
