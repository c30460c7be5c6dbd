"""Where the numbers come from: the machine and the versions."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

import numba
import torch


def _from_proc(file: str, key: str) -> str | None:
    try:
        lines = Path(file).read_text().splitlines()
    except OSError:
        return None
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(key)), None)


def _read(file: str) -> str | None:
    try:
        return Path(file).read_text().strip()
    except OSError:
        return None


def caches() -> dict[str, str]:
    """The sizes of the first core's caches, where known: what fits in them is no test of the memory."""
    found = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        kind, size = _read(f"{index}/type"), _read(f"{index}/size")
        if kind != "Instruction" and size:
            found[f"L{_read(f'{index}/level')}"] = size
    return found


def available_memory() -> float:
    """Bytes that can be had now; infinite where the system does not tell."""
    told = _from_proc("/proc/meminfo", "MemAvailable")
    return float(told.split()[0]) * 1024 if told else float("inf")


def describe() -> dict[str, Any]:
    """The machine."""
    memory = _from_proc("/proc/meminfo", "MemTotal")
    return {
        "cpu": _from_proc("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "numba_threads": numba.get_num_threads(),
        "memory_gb": round(float(memory.split()[0]) / 1024**2, 1) if memory else None,
        "caches": caches(),
        "huge_pages": _read("/sys/kernel/mm/transparent_hugepage/enabled"),
        "system": f"{platform.system()} {platform.release()}",
    }


def versions() -> dict[str, str | None]:
    """What is installed; None for what is not."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in ("thalweg", "torch", "numba", "llvmlite", "numpy", "deepspeed"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def load() -> list[float]:
    """The load average over 1, 5 and 15 minutes."""
    return [round(value, 2) for value in os.getloadavg()]
