"""What needs a browser, a cluster or a framework, marked here by its file; run by `.ci/run`.

These load for longer than most other tests run: with `-m "not apart"` their files are not even imported. Beside them,
marked in place, are tests that take a core 1.5 seconds and more.
"""

from functools import cache
from pathlib import Path

import pytest

FILES = (
    *("frameworks/test_*.py", "lab/test_adapters.py", "lab/test_ray*.py", "lab/test_report_browser.py"),
    *("site/test_*.py",),
    *("play/test_page_[!w]*.py", "play/test_in_chromium.py", "play/test_bits.py"),
)
TESTS = Path(__file__).parent


@cache  # asked for each of thousands of tests
def is_apart(path: Path) -> bool:
    return path.is_relative_to(TESTS) and any(path.relative_to(TESTS).match(pattern) for pattern in FILES)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return True if config.option.markexpr == "not apart" and is_apart(collection_path) else None


def mark(items: list[pytest.Item]) -> None:
    for item in items:
        if is_apart(item.path):
            item.add_marker("apart")
