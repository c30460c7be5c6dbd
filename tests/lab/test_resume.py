"""Kill a comparison with SIGKILL at a random moment: the same command again ends at the same table."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import little

SLOW = little.FILE.replace("nn.CrossEntropyLoss()", "slow").replace(
    "def network",
    "def slow(o, t):\n    time.sleep(0.002)\n    return nn.functional.cross_entropy(o, t)\n\ndef network",
)


TRAININGS = 2 * (6 + 3)


def command(out: str) -> list[str]:
    words = ["compare", "mine.py", "--optimizers", "sgd,adam", "--trials", "6", "--out", out]
    return [sys.executable, "-m", "thalweg.cli", *words]


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True) if path.exists() else []


def finished(log: Path) -> list[bytes]:
    """The whole lines of the log: what may not be run again."""
    return [line for line in lines(log) if line.endswith(b"\n")]


def start_and_kill(folder: Path, after: int) -> None:
    """Run the comparison and SIGKILL it at a random moment after so many trainings."""
    log = folder / "killed" / "trials.jsonl"
    process = subprocess.Popen(
        command("killed"), cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    deadline = time.time() + 60
    while len(lines(log)) < after and process.poll() is None and time.time() < deadline:
        time.sleep(0.005)
    time.sleep(random.random() * 0.05)
    alive = process.poll() is None
    process.kill()
    _, error = process.communicate()
    assert alive and process.returncode == -signal.SIGKILL, error.decode()


def test_sigkill_twice_once_in_mid_write_and_again(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import time\n" + SLOW)
    log = tmp_path / "killed" / "trials.jsonl"
    start_and_kill(tmp_path, after=random.randint(1, 8))
    first = finished(log)
    start_and_kill(tmp_path, after=len(first) + random.randint(1, 4))
    log.write_bytes(log.read_bytes()[:-30])  # as if this kill had come in the middle of a write
    second = finished(log)
    assert second[: len(first)] == first and 1 <= len(second) < TRAININGS

    run = {"cwd": tmp_path, "capture_output": True, "text": True, "check": True}
    again = subprocess.run(command("killed"), **run)
    assert f"{TRAININGS} trainings, {len(second)} of them done before" in again.stdout
    assert lines(log)[: len(second)] == second  # what was finished is as it was, to the byte
    ids = [json.loads(line)["id"] for line in lines(log)]
    assert len(ids) == len(set(ids)) == TRAININGS  # and nothing was run twice

    whole = subprocess.run(command("whole"), **run)
    for name in ("table.csv", "result.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    tables = [
        out.partition("\noptimizer ")[2].partition("report:")[0] for out in (again.stdout, whole.stdout)
    ]
    assert tables[0] == tables[1] != ""


def test_ctrl_c_ends_quietly_and_says_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import time\n" + SLOW)
    process = subprocess.Popen(
        command("study"), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.time() + 60
    while not lines(tmp_path / "study" / "trials.jsonl") and time.time() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=30)
    assert process.returncode == 130 and error == ""
    assert "thalweg compare mine.py --optimizers sgd,adam --trials 6 --out study" in out
