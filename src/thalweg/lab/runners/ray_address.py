"""Whether a Ray cluster's head answers: Ray itself waits for one that does not, for minutes, or ends the process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable

PORT = 5.0  # seconds until somebody must take the connection
JOIN = 22.0  # and until Ray must have joined: with the above, less than half a minute
LOOK = 2.0  # seconds between questions to the head
PATIENCE = 20.0  # of silence, after which it is given up: a busy one takes a few seconds
LONGER = "RAY_gcs_rpc_server_reconnect_timeout_s"  # Ray ends this process after so long, 60 s, silently


class Unanswered(Exception):
    """Nobody is there; says who was asked."""


def reach(address: str) -> None:
    """Have somebody take a connection at `HOST:PORT` or `ray://HOST:PORT`; other addresses are Ray's to find.

    Raises:
        Unanswered: nobody did.
    """
    host, colon, port = address.removeprefix("ray://").partition("/")[0].rpartition(":")
    if not colon or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PORT).close()
    except (OSError, OverflowError, UnicodeError) as error:
        raise Unanswered(f"nobody answers there ({getattr(error, 'strerror', None) or error})") from None


def try_joining(address: str) -> None:
    """Join from a process of its own first: what listens at a port may be something else, for which Ray waits on and
    on, and a process that waits in Ray cannot even end.

    Raises:
        Unanswered: it had not joined in time, or Ray said why it could not.
    """
    script = "import ray; ray.init(logging_level='ERROR', log_to_driver=False, configure_logging=False)"
    child = subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, "RAY_ADDRESS": address},  # not among the arguments: it may hold a password
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _, said = child.communicate(timeout=JOIN)
    except subprocess.TimeoutExpired:
        raise Unanswered(f"what listens there has not answered as Ray does within {JOIN:g} seconds") from None
    finally:
        child.kill()
        child.wait()
    if child.returncode:
        raise Unanswered((said.strip().splitlines() or ["Ray could not join"])[-1])


class Pulse:
    """Asks the head, from a thread of its own, how many runs the cluster can take; tells for how long it is silent."""

    def __init__(self, ask: Callable[[], int]) -> None:
        self.slots, self.heard = ask(), time.monotonic()
        self._ask, self._over = ask, threading.Event()
        threading.Thread(target=self._go_on, daemon=True).start()

    @property
    def silent(self) -> float:
        """Seconds since its last answer."""
        return time.monotonic() - self.heard

    def stop(self) -> None:
        self._over.set()

    def _go_on(self) -> None:
        while not self._over.wait(LOOK):
            try:
                self.slots = self._ask()
            except Exception:  # silence, too
                continue
            self.heard = time.monotonic()


def patient() -> None:
    """Have Ray wait longer for a lost head than we do: ours is the word that is heard."""
    os.environ.setdefault(LONGER, "600")
