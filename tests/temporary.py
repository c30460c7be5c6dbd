"""Temporary files of a test run lie in a folder of its own, and go with it: those of what tests start (Ray, W&B) too.

Pytest's own folder stays where it is: it keeps what failed tests wrote.
"""

import multiprocessing.util
import os
import shutil
import tempfile
import time

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """For this process, what it starts, and xdist's workers."""
    if hasattr(config, "workerinput"):
        return
    before = {name: os.environ.get(name) for name in ("TMPDIR", "PYTEST_DEBUG_TEMPROOT")}
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    folder = tempfile.mkdtemp(prefix="t-")  # short: paths of sockets must be
    os.environ["TMPDIR"] = tempfile.tempdir = folder

    def leave() -> None:
        multiprocessing.util._run_finalizers()  # they would look for their folder after it has gone
        tempfile.tempdir = None
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        for _ in range(50):  # what is ending may still write
            shutil.rmtree(folder, ignore_errors=True)
            time.sleep(0.1)
            if not os.path.exists(folder):
                return

    config.add_cleanup(leave)
