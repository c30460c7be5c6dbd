"""Names and messages as somebody else wrote them: too long for a file, with markup, with a terminal's escape codes."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import little
import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

from thalweg.lab.arguments import file_name
from thalweg.lab.cli import screen
from thalweg.lab.cli.commands import app
from thalweg.lab.errors import LabError
from thalweg.lab.printable import visible
from thalweg.lab.results import Comparison
from thalweg.lab.study.campaign import Progress
from thalweg.lab.verbs.compare import compare
from thalweg.lab.verbs.export import export
from thalweg.lab.verbs.replay import report

EVIL = "a[/bold] [red]b\x1b[2J\x9b31m\r\u202e\ud800[/]"
SHOWN = r"a[/bold] [red]b\x1b[2J\x9b31m\r\u202e\ud800[/]"
QUICK: dict[str, Any] = {"trials": 2, "finalist_seeds": 2, "on": "alone"}


class Rude(torch.optim.SGD):
    def step(self, closure: Any = None) -> Any:
        raise RuntimeError(EVIL)


@pytest.mark.parametrize("terminal", [True, False])
def test_a_heading_steers_no_terminal(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The metric's name is one, and may be a stranger's."""
    written = io.StringIO()
    monkeypatch.setattr(screen, "console", Console(file=written, force_terminal=terminal, color_system=None, width=200))
    screen._print_table(["", "[link=http://evil.example]" + EVIL], [["sgd", "1"]])
    assert f"[link=http://evil.example]{SHOWN}" in written.getvalue() + capsys.readouterr().out


class Comment(torch.optim.SGD):
    def step(self, closure: Any = None) -> Any:
        raise RuntimeError("<!--<script>&</script>\u2028")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return compare(little.task(name=EVIL), ["sgd", Rude], out=tmp_path_factory.mktemp("evil"), **QUICK)


@pytest.mark.parametrize("terminal", [True, False])
def test_what_is_shown_steers_no_terminal(
    found: Comparison, terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written = io.StringIO()
    plain = Console(file=written, force_terminal=True, color_system=None, highlight=False, width=400)
    if terminal:
        monkeypatch.setattr(screen, "console", plain)
    else:
        monkeypatch.setattr(screen, "console", Console(file=written, force_terminal=False))
    with screen.progress_display() as tell:
        tell(Progress(0, 2, 0, folder=Path(EVIL), how=EVIL, seconds_left=3.0))
        tell(Progress(1, 2, 0, next(t for t in found.trials if "Rude" in t.optimizer), 1.0))
    screen.show_result(found)
    text = capsys.readouterr().out + written.getvalue().replace("\x1b[", "").replace("\r", "")
    assert f"on {SHOWN}" in text and "Rude" in text
    assert not {"\x1b", "\x9b", "\u202e", "\ud800", "\r"} & set(text)
    text.encode()


def test_what_is_printed_from_python_neither(found: Comparison) -> None:
    for text in (str(found), repr(found)):
        assert SHOWN in text and "\x1b" not in text
    assert visible("plain\n\ttext äé") == "plain\n\ttext äé"


def test_what_is_refused_on_the_command_line_neither(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["report", str(tmp_path / "no\x1b[31mthing")])
    assert result.exit_code == 2 and r"no\x1b[31mthing" in result.stderr and "\x1b" not in result.stderr


@pytest.mark.apart
def test_names_longer_than_a_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    long = {kind: kind * 300 for kind in "xé漢"}
    folders = [compare(little.task(name=name), ["sgd"], **QUICK).folder for name in long.values()]
    assert len({folder.name for folder in folders}) == 3 and all(len(f.name.encode()) < 150 for f in folders)
    assert file_name("x" * 300 + "a") != file_name("x" * 300 + "b")
    Longest = type("L" * 300, (torch.optim.SGD,), {})
    made = compare(little.task(), ["sgd", Longest], out="s", **QUICK)
    assert len(list(export(made.folder, "tensorboard").iterdir())) == len(made.trials)


@pytest.mark.parametrize("words", [("compare", "digits", "--out"), ("report",), ("export", "--to", "optuna")])
def test_a_folder_whose_name_no_file_system_takes(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*words, "x" * 300])
    assert result.exit_code == 2 and result.stderr.count("\n") == 1, result.exception


def test_a_folder_with_a_null_in_its_name() -> None:
    for ask in (lambda: compare(little.task(), ["sgd"], out="a\0b", **QUICK), lambda: report("a\0b")):
        with pytest.raises(LabError, match="null"):
            ask()


def test_no_name_switches_the_reports_scripts_off(tmp_path: Path) -> None:
    """`<!--<script>` in a block of JSON: a browser reads on as if the block never ended."""
    import browser

    name = "<!--<script>&</script>"
    found = compare(little.task(name=name), ["sgd", Comment], out=tmp_path / "s", **QUICK)
    text = (tmp_path / "s" / "report.html").read_text()
    [data] = re.findall(r'<script type="application/json" id="trials-data">(.*?)</script>', text, re.DOTALL)
    assert "<" not in data and name in json.loads(data)["rows"][-1][-1]
    with browser.running(tmp_path / "profile") as page:
        page.open(tmp_path / "s" / "report.html", screen="trials")
        assert page.ask("document.querySelectorAll('#runs tbody tr').length") == len(found.trials)
