"""A worker process: it trains what its parent sends, and ends when its parent does, whatever ended that.

Parent and worker talk through the worker's standard input and output, in pickles of (what, payload): each order is
answered by what it finds, then "end" or "refused". What the user's code prints goes to standard error.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from typing import IO, Any

# What a fresh interpreter runs: the parent's import path comes first, as the rest is found by it.
START = (
    "import os, pickle, sys; given = os.fdopen(os.dup(0), 'rb'); sys.path[:] = pickle.load(given); "
    "from thalweg.lab.runners.processes.worker import main; main(given)"
)


def main(given: IO[bytes]) -> None:
    """Work until the parent closes the pipe."""
    from thalweg.lab.errors import first_line
    from thalweg.lab.isolation import CUT_SHORT

    warnings.filterwarnings("ignore", CUT_SHORT, RuntimeWarning)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a print must not end up among the answers
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    inbox: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(given, inbox), daemon=True).start()

    def answer(what: str, payload: Any = None) -> None:
        pickle.dump((what, payload), answers)
        answers.flush()

    held: dict[str, Any] = {}
    while True:
        what, payload = inbox.get()
        try:
            for found in _obey(what, payload, held):
                answer("found", found)
            if what == "jobs":
                answer("said", list(held["inner"].reasons))
            answer("end")
        except Exception as error:  # a task that cannot be rebuilt here, a runner that cannot go on
            answer("refused", f"{type(error).__name__}: {first_line(error)}")


def _obey(what: str, payload: Any, held: dict[str, Any]) -> Iterator[Any]:
    if what == "surroundings":
        from thalweg.lab.isolation import adopt

        adopt(payload)
    elif what == "task":
        held["task"] = pickle.loads(payload)
    elif what == "inner":
        held["inner"] = pickle.loads(payload)
    elif what == "jobs":
        yield from held["inner"].run(held["task"], pickle.loads(payload))
    elif what == "pace":
        from thalweg.lab.cost.machine import measure_pace

        yield measure_pace(held["task"])


def _listen(given: IO[bytes], inbox: queue.SimpleQueue[tuple[str, Any]]) -> None:
    try:
        while True:
            inbox.put(pickle.load(given))
    except BaseException:  # the parent has gone, or is ending this worker: nobody waits for an answer
        end_now()


def end_now() -> None:
    """End this process and those it started, a DataLoader's workers for one, without any tidying up."""
    if hasattr(os, "killpg") and os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def import_path() -> list[str]:
    """Where this process finds modules; an empty entry means the working folder."""
    return [os.path.abspath(entry) if entry == "" else entry for entry in sys.path]


def environment(threads: int = 1, own: Mapping[str, str] | None = None) -> dict[str, str]:
    """A worker has its threads from its first import on: libraries read these as they load.

    Args:
        own: what this worker alone has in it, such as its GPUs.
    """
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return {**os.environ, **dict.fromkeys(names, str(threads)), **(own or {})}
