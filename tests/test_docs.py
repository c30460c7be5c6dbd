"""The documentation is executed: what it says is printed is what is printed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent
PAGES = [f"docs/{name}.md" for name in ("add_a_rule", "tasks", "lanes", "lab", "small_state")]


def run(script: Path) -> str:
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("page", PAGES)
def test_a_page_prints_what_it_says(page, tmp_path):
    """A page's Python blocks, one after the other, are a program; its text blocks are what it prints."""
    blocks = re.findall(r"```(python|text)\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    script = tmp_path / "page.py"
    script.write_text("\n".join(text for kind, text in blocks if kind == "python"))
    assert run(script) == "".join(text for kind, text in blocks if kind == "text")


def test_the_kernel_in_the_docs_is_the_kernel():
    """The page that explains the kernel shows lines of it."""
    from thalweg.catalogue import CATALOGUE
    from thalweg.engines import cpu
    from thalweg.update.update import Update

    [block] = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "how_it_works.md").read_text(), re.DOTALL)
    kernel = cpu.source(Update(CATALOGUE["adam"].rule, ()), torch.float32).splitlines()
    shown = [line for line in block.splitlines() if line.strip() != "..."]
    assert shown and [line for line in shown if line not in kernel] == []


@pytest.mark.parametrize("page", ["README.md", "README.zh.md"])
def test_the_speed_table_is_the_newest_results(page):
    """No figure of speed in a README that is not in benchmarks/results/."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "readme.py")], capture_output=True, text=True, check=True
    )
    text = (ROOT / page).read_text()
    speed, goals = done.stdout.strip().split("\n\n")
    assert speed in text
    for goal in goals.splitlines()[2:]:
        assert goal in text


def test_the_page_of_small_state_is_the_newest_results():
    """Its tables and its drawing."""
    command = [sys.executable, str(ROOT / "benchmarks" / "small_page.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_readmes_program_runs(tmp_path):
    """The task of the README, compared as the README says."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    [task] = [block for block in blocks if "# my_task.py" in block]
    [compare] = [block for block in blocks if "thalweg.compare(" in block]
    changed = compare.replace('preset="quick"', 'preset="quick", trials=2, finalist_seeds=2, epochs=2')
    assert changed != compare
    script = tmp_path / "my_task.py"
    script.write_text(f"import os\nos.chdir({str(tmp_path)!r})\n{task}\n{changed}")
    printed = run(script)
    assert "Undecided" in printed or "leads" in printed


def test_both_readmes_have_the_same_commands():
    """README.zh.md is kept in step: the same code, the same pictures, the same headings in number."""
    english, chinese = ((ROOT / name).read_text() for name in ("README.md", "README.zh.md"))
    for pattern in (r"```sh\n(.*?)```", r"```python\n(.*?)```"):
        code = [re.sub(r"#.*", "", block) for block in re.findall(pattern, english, re.DOTALL)]
        assert code == [re.sub(r"#.*", "", block) for block in re.findall(pattern, chinese, re.DOTALL)]
    assert len(re.findall(r"^## ", english, re.M)) == len(re.findall(r"^## ", chinese, re.M))
