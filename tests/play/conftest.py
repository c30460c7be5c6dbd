"""One page and one browser for all tests of the page."""

import pytest

from lab.browser import running
from thalweg.play import page as whole


@pytest.fixture(scope="session")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("play") / "page.html"
    path.write_text(whole.html(), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with running(tmp_path_factory.mktemp("profile")) as own:
        yield own
