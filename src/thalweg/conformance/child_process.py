"""Try laws in a child process: one that crashes the interpreter or never ends breaks its law, not the report."""

from __future__ import annotations

import contextlib
import json
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import IO, Any

import torch

from thalweg.conformance.judge import Job, outcomes
from thalweg.conformance.report import BREAKS, NOT_APPLICABLE, Outcome
from thalweg.conformance.subject import words

STARTING = 120.0  # seconds for Python and torch to start on a busy machine


class EndedError(Exception):
    """The child ended, or was ended, in the middle of a law."""


class LateError(EndedError):
    """The child did not end a law in time."""


def try_apart(name: str, settings: dict[str, Any], jobs: Sequence[Job], limit: float) -> Iterator[Outcome]:
    """The outcomes of the jobs, in order. After a crash a new process takes up what is left.

    A law that does not end in time is tried once more: what compilers made for it (torch.compile, Numba, Triton) is in
    their caches by then, and how long they take is no law's matter.
    """
    left, once_more = list(jobs), True
    while left:
        with _child(name, settings, left) as lines:
            try:
                for outcome in _outcomes(lines, len(left), limit):
                    left.pop(0)
                    once_more = True
                    yield outcome
            except EndedError as end:
                if isinstance(end, LateError) and once_more:
                    once_more = False
                    continue
                once_more = True
                variant, law = left.pop(0)
                yield Outcome(law, words(variant), BREAKS, str(end))
                if law == "steps":
                    yield from (Outcome(n, words(v), NOT_APPLICABLE, str(end)) for v, n in left if v == variant)
                    left = [(v, n) for v, n in left if v != variant]


def _outcomes(lines: Lines, count: int, limit: float) -> Iterator[Outcome]:
    try:
        lines.next(STARTING)
    except EndedError as end:
        raise RuntimeError(f"the process in which the laws are tried does not start: {end}") from None
    for _ in range(count):
        yield Outcome(**json.loads(lines.next(limit)))


class Lines:
    """The child's lines, each waited for no longer than so many seconds."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        self._process = process
        self._queue: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=self._read, args=(process.stdout,), daemon=True).start()

    def _read(self, stream: IO[bytes]) -> None:
        for line in stream:
            self._queue.put(line)
        self._queue.put(b"")

    def next(self, seconds: float) -> bytes:
        """The next line; EndedError where there is none in time."""
        try:
            line = self._queue.get(timeout=seconds)
        except queue.Empty:
            raise LateError(f"seen: no end within {seconds:g} s; expected: an end") from None
        if not line:
            raise EndedError(f"seen: the process ended ({_ending(self._process.wait())}); expected: it lives on")
        return line


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


@contextlib.contextmanager
def _child(name: str, settings: dict[str, Any], jobs: Sequence[Job]) -> Iterator[Lines]:
    process = subprocess.Popen(
        [sys.executable, "-c", "from thalweg.conformance.child_process import serve; serve()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # a child that cannot start is told of by its exit code
        pickle.dump(sys.path, process.stdin)
        pickle.dump((name, settings, list(jobs)), process.stdin)
        process.stdin.close()
    try:
        yield Lines(process)
    finally:
        process.kill()
        process.wait()


def serve() -> None:
    """The child: read what to try from the standard input, write a line of JSON for each law."""
    import os

    # What optimizers print must not come between the lines.
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    sys.path[:] = pickle.load(sys.stdin.buffer)
    name, settings, jobs = pickle.load(sys.stdin.buffer)
    from thalweg.lookup import find

    # What torch imports in the very first step of a process (seconds, on a busy machine) is no law's doing.
    p = torch.nn.Parameter(torch.zeros(1, device="cpu"))
    p.grad = torch.zeros(1, device="cpu")
    torch.optim.SGD([p]).step()
    print("ready", file=out)
    for outcome in outcomes(find(name), settings, jobs):
        print(json.dumps(vars(outcome)), file=out)


def can_travel(settings: dict[str, Any]) -> bool:
    """The settings can be sent to another process."""
    try:
        pickle.loads(pickle.dumps(settings))
    except Exception:
        return False
    return True
