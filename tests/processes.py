"""Several processes, each a rank, forked from one that has imported torch already: it takes seconds, for each anew."""

import multiprocessing
import os
import runpy
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

PRELOADED = ["torch", "torch.distributed.fsdp", "torch.distributed.tensor.parallel", "numba", "thalweg.optim"]


def start(work: Callable[..., None], arguments: tuple[Any, ...], ranks: int) -> None:
    """Call `work(rank, *arguments)` in each process, and wait for all of them."""
    multiprocessing.set_forkserver_preload(PRELOADED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLOO_SOCKET_IFNAME", "lo")  # a machine's name may lead nowhere
        torch.multiprocessing.start_processes(
            _with_the_environment, (dict(os.environ), work, arguments), nprocs=ranks, start_method="forkserver"
        )


def _with_the_environment(rank: int, environment: dict[str, str], work: Callable[..., None], arguments: Any) -> None:
    """The process that forks has the environment in which it began."""
    os.environ.clear()
    os.environ.update(environment)
    work(rank, *arguments)


def printed(script: Path) -> str:
    """What a script prints, in a process of its own that takes every warning for an error."""
    out = script.with_suffix(".printed")
    start(_print, (str(script), str(out)), 1)
    return out.read_text()


def _print(rank: int, script: str, out: str) -> None:
    os.dup2(os.open(out, os.O_WRONLY | os.O_CREAT), 1)
    os.environ["PYTHONWARNINGS"] = "error"  # of what it starts, too
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", "The epoch parameter in")  # torch 2.6 says so of its own SequentialLR
    sys.argv, sys.path[:0] = [script], [os.path.dirname(script)]
    runpy.run_path(script, run_name="__main__")
    sys.stdout.flush()
