"""Of a long table of cases a part, where the whole suite is run without a word of which tests: the same part each time.

A rule, an engine, a dtype and a setting give one test function hundreds of cases, each a kernel to compile: two thirds
of the suite's time. Where paths are given (`pytest tests src docs`), every case is run.
"""

from collections import defaultdict
from collections.abc import Sequence
from hashlib import sha256

import pytest

LEAST, SHARE = 4, 12  # of a function's cases at least 4, and one in 12


def part(names: Sequence[str]) -> set[str]:
    """Which of a function's cases are run. By their names alone, so that a new case changes little."""
    ranked = sorted(names, key=lambda name: sha256(name.encode()).digest())
    return set(ranked[: max(LEAST, -(-len(names) // SHARE))])


def keep_part(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.args_source is pytest.Config.ArgsSource.ARGS:
        return
    tables = defaultdict(list)
    for item in items:
        tables[item.nodeid.partition("[")[0]].append(item.nodeid)
    kept = {name for names in tables.values() for name in part(names)}
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in kept])
    items[:] = [item for item in items if item.nodeid in kept]
