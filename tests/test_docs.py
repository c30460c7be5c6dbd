"""The documentation is executed: what it says is printed is what is printed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from processes import printed
from thalweg.lab.cli.commands import app
from thalweg.lab.search.protocol import PRESETS

ROOT = Path(__file__).parent.parent
EXECUTED = (
    *("add_a_rule", "tasks", "lanes", "lab", "matrices", "small_state"),
    *(
        "tutorials/swap_the_import",
        "tutorials/first_study",
        "tutorials/your_own_loop",
        "tutorials/read_a_checkpoint",
        "tutorials/any_script",
    ),
    *("how_to/cpu", "how_to/small_memory", "quickstart.zh"),
)
PAGES = [f"docs/{name}.md" for name in EXECUTED]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_prints_what_it_says(page, tmp_path):
    """A page's Python blocks, one after the other, are a program; its text blocks are what it prints."""
    blocks = re.findall(r"```(python|text)\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    script = tmp_path / "page.py"
    script.write_text("\n".join(text for kind, text in blocks if kind == "python"))
    assert printed(script) == "".join(text for kind, text in blocks if kind == "text")


def test_a_rule_of_ones_own_is_compared_by_the_command_of_its_page(tmp_path, monkeypatch, capsys):
    """As the page has it: its first block in a file, and the command, here with few and short runs."""
    page = (ROOT / "docs" / "add_a_rule.md").read_text()
    [command] = re.findall(r"```sh\n(thalweg .*?)\n```", page)
    (tmp_path / "my_rule.py").write_text(re.search(r"```python\n(.*?)```", page, re.DOTALL).group(1))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    few = "--trials 1 --finalist-seeds 2 --epochs 1 --on alone"
    with pytest.raises(SystemExit) as end:
        app([*command.split()[1:], *few.split()], standalone_mode=True)
    told = capsys.readouterr()
    assert end.value.code == 0 and told.out.count("my_rule.Lion") >= 1, told.err


def test_a_rule_of_ones_own_races_by_the_command_of_the_page_of_play(tmp_path, monkeypatch):
    """Copied from one page to the next: the catalogue has a rule of that name."""
    block = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "add_a_rule.md").read_text(), re.DOTALL).group(1)
    (tmp_path / "my_rule.py").write_text(block)
    monkeypatch.chdir(tmp_path)
    [command] = re.findall(r"thalweg (play --rule \S+)", (ROOT / "docs" / "play.md").read_text())
    with pytest.raises(SystemExit) as end:
        app([*command.split(), "--out", "page.html"], standalone_mode=True)
    assert end.value.code == 0 and '"my_lion"' in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_the_first_study_says_what_the_presets_take():
    quick, standard = PRESETS["quick"], PRESETS["standard"]
    takes = (
        f"takes {quick.trials} and {quick.finalist_seeds}, `standard` {standard.trials} and {standard.finalist_seeds}."
    )
    assert takes in (ROOT / "docs" / "tutorials" / "first_study.md").read_text()


def test_the_kernel_in_the_docs_is_the_kernel():
    """The page that explains the kernel shows lines of it."""
    from thalweg.catalogue import CATALOGUE
    from thalweg.engines import cpu
    from thalweg.update.update import Update

    [block] = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "how_it_works.md").read_text(), re.DOTALL)
    kernel = cpu.source(Update(CATALOGUE["adam"].rule, ()), torch.float32).splitlines()
    shown = [line for line in block.splitlines() if line.strip() != "..."]
    assert shown and [line for line in shown if line not in kernel] == []


def made_tables() -> list[str]:
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "readme.py")], capture_output=True, text=True, check=True
    )
    return done.stdout.strip().split("\n\n")


def test_the_speed_page_is_the_newest_results():
    """No figure of speed that is not in benchmarks/results/: every rule, and the goals."""
    speed, goals, _ = made_tables()
    page = (ROOT / "benchmarks" / "speed.md").read_text()
    assert speed in page
    assert goals in page


@pytest.mark.parametrize("page", ["README.md", "README.zh.md"])
def test_the_small_speed_table_is_the_newest_results(page):
    """The READMEs' rows; the Chinese one translates the heading."""
    rows = made_tables()[2].splitlines()[1:]
    assert len(rows) == 6
    assert "\n".join(rows) in (ROOT / page).read_text()


@pytest.mark.apart
def test_the_page_of_small_state_is_the_newest_results():
    """Its tables and its drawing."""
    command = [sys.executable, str(ROOT / "benchmarks" / "small_page.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def readmes() -> tuple[str, str]:
    return (ROOT / "README.md").read_text(), (ROOT / "README.zh.md").read_text()


def test_the_readmes_lines_run(readmes, tmp_path):
    """The lines of the README, in a script that has a model and a checkpoint of torch's."""
    [block] = re.findall(r"```python\n(.*?)```", readmes[0], re.DOTALL)
    (tmp_path / "script.py").write_text(
        f"import os\nimport torch\nos.chdir({str(tmp_path)!r})\nmodel = torch.nn.Linear(2, 1)\n"
        "theirs = torch.optim.AdamW(model.parameters(), lr=3e-4, weight_decay=0.1)\n"
        "torch.save(theirs.state_dict(), 'a_torch_adamw_checkpoint.pt')\n"
        f"{block}\nprint(optimizer.param_groups[0]['lr'])\n"
    )
    assert printed(tmp_path / "script.py") == "0.0003\n"


def test_the_readme_is_short(readmes):
    """Two minutes: at most 900 words, and one screen of code."""
    assert len(readmes[0].split()) <= 900
    for text in readmes:
        code = "".join(re.findall(r"```\w*\n(.*?)```", text, re.DOTALL))
        assert 0 < code.count("\n") <= 25


def test_both_readmes_say_the_same(readmes):
    """README.zh.md is kept in step: code, commands, pictures, links, names, figures and the number of headings."""
    english, chinese = readmes
    for pattern in (r"```sh\n(.*?)```", r"```python\n(.*?)```"):
        code = [re.sub(r"#.*", "", block) for block in re.findall(pattern, english, re.DOTALL)]
        assert code == [re.sub(r"#.*", "", block) for block in re.findall(pattern, chinese, re.DOTALL)]
    assert len(re.findall(r"^## ", english, re.M)) == len(re.findall(r"^## ", chinese, re.M))
    for pattern in (r"`[^`\n]+`", r"!\[[^]]*\]\(([^)]+)\)"):
        assert set(re.findall(pattern, english)) == set(re.findall(pattern, chinese))
    only_chinese = {"README.md", "docs/quickstart.zh.md", "docs/glossary.md"}
    links = [set(re.findall(r"\]\(([^)]+)\)", text)) for text in readmes]
    assert links[0] - {"README.zh.md"} == links[1] - only_chinese
    plain = [re.sub(r"`[^`]*`|\]\([^)]*\)|```.*?```", " ", text, flags=re.DOTALL) for text in readmes]
    figures = [set(re.findall(r"\d[\d,.]*\d|\d", text)) for text in plain]
    assert figures[0] ^ figures[1] <= {"1"}
