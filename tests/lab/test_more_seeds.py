"""What is undecided comes with the command that would decide it; what no number of seeds decides is not promised."""

from __future__ import annotations

from dataclasses import replace

import little
import pytest
from typer.testing import CliRunner

import thalweg
from thalweg.lab.cli.commands import app
from thalweg.lab.judging.rows import build_table


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("seeds")
    (folder / "mine.py").write_text(little.FILE)
    words = ["compare", f"{folder / 'mine.py'}:task", "--optimizers", "sgd,adam", "--trials", "4"]
    words += ["--finalist-seeds=2", "--on", "alone", "--out", str(folder / "study")]
    assert CliRunner().invoke(app, words).exit_code == 0
    return folder / "study", words


def told(words, monkeypatch, needed):
    """What the same command says again where the pair is undecided and takes that many more seeds."""

    def undecided(*given, **more):
        table = build_table(*given, **more)
        leader, other = table.rows
        return replace(table, rows=(leader, replace(other, judgement=replace(other.judgement, **needed))))

    monkeypatch.setattr("thalweg.lab.results.comparison.build_table", undecided)
    monkeypatch.setattr("sys.argv", ["thalweg", *words])
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.apart
def test_the_command_that_would_decide_is_printed_and_is_the_same_study(compared, monkeypatch):
    folder, words = compared
    before = len(thalweg.report(folder).trials)
    out = told(words, monkeypatch, {"verdict": "undecided", "more_seeds": 3})
    kept = [word for word in words if not word.startswith("--finalist-seeds")]
    assert f"To decide, 5 fresh seeds:\n  thalweg {' '.join(kept)} --finalist-seeds 5\n" in out
    assert len(thalweg.report(folder).trials) == before  # nothing was trained for the answer


@pytest.mark.apart
def test_what_no_number_of_seeds_decides_is_not_promised(compared, monkeypatch):
    assert "To decide" not in told(compared[1], monkeypatch, {"verdict": "undecided", "more_seeds": None})
