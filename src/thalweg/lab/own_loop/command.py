"""A run of a command, in a process of its own: its output to a log, its metric to the run's reports."""

from __future__ import annotations

import os
import queue
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from thalweg.lab.errors import LabError, TaskError
from thalweg.lab.own_loop import keeper
from thalweg.lab.own_loop.attempt import LOG, Attempt
from thalweg.lab.own_loop.reading import LineReader, read_file
from thalweg.lab.own_loop.reports import SAID
from thalweg.lab.own_loop.run import RUN, Ended
from thalweg.lab.task.own_loop import PLACEHOLDER, OwnLoop, script
from thalweg.lab.training.failure import from_outside, out_of_memory
from thalweg.lab.training.job import Job
from thalweg.lab.training.time_limit import late
from thalweg.lab.training.trial import Status, Trial

LOG_BYTES = 20_000_000  # of output that are kept; the rest is read for the metric and let go
LOOK = 0.1  # seconds between looks at what a script tells by `thalweg.report`
FILE_LOOK = 5.0  # and at a file of its own, which is read as a whole
TAIL = 30  # last lines, in which an error is looked for


def run_command(loop: OwnLoop, job: Job) -> Trial:
    """Run the command once. Whatever goes wrong in it is written down, not raised."""
    attempt = Attempt(loop, job)
    if attempt.reached():
        return attempt.finished(None, "rung")
    try:
        process = Process(filled(loop.command, values_of(job, attempt.folder)), attempt.folder)
    except (OSError, TaskError) as error:
        return attempt.failed(error)
    feed = Feed(loop, attempt, process)
    try:
        feed.follow(job.limit)
        code = process.wait()
        if code:
            return _failed(attempt, code, process.tail)
        return attempt.ended(Status.NOT_A_NUMBER, feed.missing) if feed.missing else attempt.finished(None)
    except Ended as end:
        process.end()
        return attempt.finished(None, end.reason)
    except TimeoutError:
        assert job.limit is not None
        return attempt.ended(Status.TIMED_OUT, late(job.limit))
    except LabError as error:  # what it says cannot be read
        return attempt.ended(Status.CRASHED, str(error))
    finally:
        process.end()


def values_of(job: Job, folder: Path | str) -> dict[str, Any]:
    """What a run's placeholders stand for: its settings, betas one by one too, its seed, its folder, its optimizer."""
    found: dict[str, Any] = {}
    if job.entry.default_rate is not None:
        found["lr"] = job.entry.default_rate
    for name, value in {**job.entry.settings, **job.setting.settings}.items():
        found[name] = value
        if isinstance(value, tuple | list):
            found |= {f"{name.removesuffix('s')}{place}": part for place, part in enumerate(value, 1)}
    name = "" if job.entry.optimizer is script else job.entry.name
    return {**found, "seed": job.setting.seed, "folder": str(folder), "optimizer": name}


def filled(command: str, values: dict[str, Any]) -> list[str]:
    """The command's words with their placeholders filled.

    Raises:
        TaskError: for a placeholder that nothing fills.
    """

    def text(match: Any) -> str:
        name = match.group(1)
        if name not in values:
            raise TaskError(
                f"command: nothing fills {{{name}}}; must be {', '.join(values)}, or declared with --hyperparameters"
            )
        value = values[name]
        return ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)

    return [PLACEHOLDER.sub(text, word) for word in shlex.split(command)]


class Process:
    """The command under way, in a session of its own, with its output in a log."""

    def __init__(self, words: list[str], folder: Path) -> None:
        self.tail: deque[str] = deque(maxlen=TAIL)
        self.lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.process = subprocess.Popen(
            [sys.executable, "-S", "-E", keeper.__file__, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, RUN: str(folder.resolve()), "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
        threading.Thread(target=self._read, args=(folder / LOG,), daemon=True).start()

    def wait(self) -> int:
        return self.process.wait()

    def end(self) -> None:
        """End it and what it started: politely, then not."""
        assert self.process.stdin is not None
        with suppress(OSError):
            self.process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(2 * keeper.GRACE)
        if self.process.poll() is None:
            with suppress(OSError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def _read(self, path: Path) -> None:
        assert self.process.stdout is not None
        with open(path, "ab") as log:
            size = log.tell()
            for raw in self.process.stdout:
                if size < LOG_BYTES:
                    with suppress(OSError):  # a full disk takes the log, not the run
                        log.write(raw)
                        log.flush()
                    size += len(raw)
                    if size >= LOG_BYTES:
                        log.write(b"... the log is full; the rest of the output is not kept\n")
                line = raw.decode("utf-8", "replace").rstrip()
                self.tail.append(line)
                self.lines.put(line)
        self.lines.put(None)


class Feed:
    """Turns what a command says, in whichever way, into its run's reports."""

    def __init__(self, loop: OwnLoop, attempt: Attempt, process: Process) -> None:
        self.loop, self.attempt, self.process = loop, attempt, process
        self.reader = LineReader(loop.metric_name, loop.read)
        self.said = attempt.folder / SAID
        self.said_at = self.said.stat().st_size if self.said.exists() else 0
        self.count = 0
        self.missing = ""  # what is said of the last report where it has no value
        self.file_seen, self.file_looked = 0, 0.0

    def follow(self, limit: float | None) -> None:
        """Until the command has ended and all is read.

        Raises:
            Ended: the study ends the run.
            TimeoutError: it took longer than it may.
        """
        begin = time.monotonic()
        over = False
        while not over:
            over = self._output()
            self._file_of_reports()
            if self.loop.file and (over or time.monotonic() - self.file_looked > FILE_LOOK):
                self._file(over)
            if limit is not None and time.monotonic() - begin > limit:
                raise TimeoutError

    def _output(self) -> bool:
        """What has been printed since; whether that was all."""
        with suppress(queue.Empty):
            line = self.process.lines.get(timeout=LOOK)
            while True:
                if line is None:
                    return True
                for step, value in self.reader.reports(line) if not self.loop.file else ():
                    self._see(step, value, f"the line {line.strip()[:120]!r}")
                line = self.process.lines.get_nowait()
        return False

    def _file_of_reports(self) -> None:
        for step, value in self._said():
            self._see(step, value, "")

    def _said(self) -> Iterator[tuple[int, float]]:
        import json

        if not self.said.exists():
            return
        with open(self.said, "rb") as file:
            file.seek(self.said_at)
            new = file.read()
        whole = new.rfind(b"\n") + 1
        self.said_at += whole
        for line in new[:whole].splitlines():
            with suppress(ValueError, KeyError, TypeError):
                record = json.loads(line)
                yield int(record["step"]), float(record["value"])

    def _file(self, over: bool) -> None:
        self.file_looked = time.monotonic()
        path = Path(self.loop.file)
        path = self.attempt.folder if self.loop.file == "tensorboard" else self.attempt.folder / path
        found = read_file(path, self.loop.metric_name, whole=over)
        for step, value in found[self.file_seen :]:
            self._see(step, value, f"the last of {self.loop.file}")
        self.file_seen = len(found)

    def _see(self, step: int | None, value: float | None, where: str) -> None:
        """Take in a report. One without a value fails the run where no other comes after it: an older value is not
        what the run ended with."""
        if value is None:
            at = "" if step is None else f" at step {step}"
            self.missing = f"{self.loop.metric_name} has no number at the end of the run: {where}{at} is missing one"
            return
        self.missing = ""
        self.count += 1
        self.attempt.see(self.count if step is None else step, value)


def _failed(attempt: Attempt, code: int, tail: deque[str]) -> Trial:
    """The trial of a command that ended with an error, by what it said last."""
    last = next((line for line in reversed(tail) if line.strip()), "")
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    message = f"{how}: {last}" if last else how
    kind = last.partition(":")[0].rpartition(".")[2]
    if out_of_memory(RuntimeError(last)) or kind in ("MemoryError", "OutOfMemoryError"):
        return attempt.ended(Status.OUT_OF_MEMORY, message)
    return attempt.ended(Status.INTERRUPTED if from_outside(kind) else Status.CRASHED, message)
