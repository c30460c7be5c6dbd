"""Runs a command as long as somebody holds this process's input open: with its parent, the command ends too.

Started as a file, with nothing but the standard library, so that it costs no more than Python's start.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading

GRACE = 5.0  # seconds between the polite end and the other


def main() -> None:
    command = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)
    threading.Thread(target=_watch, args=(command,), daemon=True).start()
    code = command.wait()
    _signal(command.pid, signal.SIGKILL)  # what it left behind
    if code < 0:
        if -code not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)  # the thread still waits for the parent


def _watch(command: "subprocess.Popen[bytes]") -> None:
    while os.read(0, 1024):  # until the parent closes it, or is gone
        pass
    _signal(command.pid, signal.SIGTERM)
    try:
        command.wait(GRACE)
    except subprocess.TimeoutExpired:
        _signal(command.pid, signal.SIGKILL)


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


if __name__ == "__main__":
    main()
