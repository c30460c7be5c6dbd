"""Stop a comparison at a random moment, by SIGKILL too: the same command again ends at the same table."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import little
import pytest
from typer.testing import CliRunner

from thalweg.lab.cli.commands import app

SLOW = little.FILE.replace("nn.CrossEntropyLoss()", "slow").replace(
    "def network",
    "def slow(o, t):\n    time.sleep(float(os.environ.get('PAUSE', '0')))\n"
    "    return nn.functional.cross_entropy(o, t)\n\ndef network",
)


TRAININGS = 2 * (6 + 5)


def command(out: str, on: str = "alone") -> list[str]:
    words = ["compare", "mine.py", "--optimizers", "sgd,adam", "--trials", "6", "--on", on, "--out", out]
    return [sys.executable, "-m", "thalweg.cli", *words]


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True) if path.exists() else []


def untimed(path: Path) -> str:
    """A result without what was measured with a clock: no two runs agree on it."""
    text = re.sub(r'"(milliseconds_a_step|seconds_to_target)": [^,]*,', "", path.read_text())
    return re.sub(r"about [\d.]+ (seconds?|minutes?|hours?)", "a while", text)


def finished(log: Path) -> list[bytes]:
    """The whole lines of the log: what may not be run again."""
    return [line for line in lines(log) if line.endswith(b"\n")]


def stop(folder: Path, after: int, how: signal.Signals, on: str = "alone") -> tuple[int, str, str]:
    """Run the comparison, slowly, and send it a signal at a random moment after so many runs."""
    log = folder / "stopped" / "trials.jsonl"
    process = subprocess.Popen(
        command("stopped", on),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PAUSE": "0.01", "STUDY": str(folder)},
        # A background job is started with Ctrl-C switched off, and its children would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.time() + 60
    while len(lines(log)) < after and process.poll() is None and time.time() < deadline:
        time.sleep(0.005)
    time.sleep(random.random() * 0.05)
    process.send_signal(how)
    out, error = process.communicate(timeout=60)
    return process.returncode, out, error


def run(out: str) -> str:
    """The same command to its end, in this process: starting Python and torch anew is most of its time."""
    result = CliRunner().invoke(app, command(out)[3:])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.apart
def test_ctrl_c_then_sigkill_in_mid_write_then_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("import os\nimport time\n" + SLOW)
    log = tmp_path / "stopped" / "trials.jsonl"
    code, out, error = stop(tmp_path, random.randint(1, 8), signal.SIGINT)
    assert (code, error) == (130, "")  # quietly, and saying how to go on
    assert "thalweg compare mine.py --optimizers sgd,adam --trials 6 --on alone --out stopped" in out
    first = finished(log)
    code, _, error = stop(tmp_path, len(first) + random.randint(1, 4), signal.SIGKILL)
    assert code == -signal.SIGKILL, error
    log.write_bytes(log.read_bytes()[:-30])  # as if the kill had come in the middle of a write
    second = finished(log)
    assert second[: len(first)] == first and 1 <= len(second) < TRAININGS

    again = run("stopped")
    assert f"{TRAININGS} runs, {len(second)} of them done before" in again
    assert lines(log)[: len(second)] == second  # what was finished is as it was, to the byte
    ids = [json.loads(line)["id"] for line in lines(log)]
    assert len(ids) == len(set(ids)) == TRAININGS  # and nothing was run twice

    whole = run("whole")
    assert (tmp_path / "stopped" / "table.csv").read_bytes() == (tmp_path / "whole" / "table.csv").read_bytes()
    assert untimed(tmp_path / "stopped" / "result.json") == untimed(tmp_path / "whole" / "result.json")
    tables = [text.partition("\noptimizer ")[2].partition("report:")[0] for text in (again, whole)]
    assert tables[0] == tables[1] != ""


@pytest.mark.apart
def test_ctrl_c_ends_the_worker_processes_and_keeps_what_they_gave(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import os\nimport time\n" + SLOW)
    code, out, error = stop(tmp_path, 2, signal.SIGINT, on="processes")
    assert (code, error) == (130, "")
    assert "--on processes --out stopped" in out and not started_for(tmp_path)
    assert 2 <= len(finished(tmp_path / "stopped" / "trials.jsonl")) < TRAININGS


def started_for(folder: Path) -> list[str]:
    """Processes that the command or its workers left behind: they have its environment."""
    left = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is another user's
            if f"STUDY={folder}\0".encode() in (process / "environ").read_bytes():
                left.append(process.name)
    return left
