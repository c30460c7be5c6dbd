"""Scripts as people publish them, with three lines added: useful output, and no false alarm."""

from __future__ import annotations

from pathlib import Path

import pytest

import thalweg

EXAMPLES = Path(__file__).parents[2] / "examples"
ADDED = "seen = thalweg.lens(optimizer, model, quiet=True).__enter__(); watched.append(seen)"


def script(name, before):
    """The functions of an example, whose loops are watched from the line before which the lens is put."""
    text = (EXAMPLES / name).read_text()
    (line,) = (line for line in text.splitlines() if line.strip() == before)
    indent = line[: len(line) - len(line.lstrip())]
    names = {"__name__": name, "__doc__": "", "thalweg": thalweg, "watched": []}
    exec(compile(text.replace(line, f"{indent}{ADDED}\n{line}", 1), name, "exec"), names)
    return names


@pytest.mark.apart
def test_a_small_gpt():
    names = script("small_gpt.py", "for _ in range(steps):")
    names["train"](50)
    (seen,) = names["watched"]
    assert seen.findings == [] and seen.record.losses[1] > 1.3 * list(seen.record.losses.values())[-1]


def test_a_convolutional_network():
    names = script("cnn.py", "for _ in range(epochs):")
    for make in names["RULES"].values():
        names["accuracy"](make, epochs=2)
    assert [seen.findings for seen in names["watched"]] == [[], [], []]
    assert all(len(seen.record.losses) > 10 for seen in names["watched"])


@pytest.mark.parametrize(("lr", "found"), [(3e-3, []), (1e-5, ["lr_too_low"])])
def test_an_lstm_that_has_them(lr, found, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = script("lstm.py", "right = []")
    names["train"](60, lr)
    assert [finding.name for finding in names["watched"][0].findings] == found
    assert (tmp_path / "lens.html").stat().st_size > 10_000
    assert ("Nothing wrong" in capsys.readouterr().err) is (not found)
