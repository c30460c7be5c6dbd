"""The moving picture at the top of both READMEs: small, looping, and there."""

import runpy
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parent.parent.parent


def test_the_saddle_race_is_at_the_top_of_both_readmes_and_small():
    for name in ("README.md", "README.zh.md"):
        top = "\n".join((ROOT / name).read_text(encoding="utf-8").splitlines()[:8])
        assert "](docs/saddle.gif)" in top
    path = ROOT / "docs" / "saddle.gif"
    assert path.stat().st_size < 1_000_000
    with Image.open(path) as picture:
        assert picture.n_frames >= 60 and picture.info["loop"] == 0


def test_it_is_drawn_by_its_script_and_not_by_who_imports_that(capsys):
    """As the collection of doctests does, in every process."""
    path = ROOT / "docs" / "saddle.gif"
    drawn = path.stat().st_mtime_ns
    runpy.run_path(str(path.with_suffix(".py")), run_name="saddle")
    assert path.stat().st_mtime_ns == drawn and capsys.readouterr().out == ""
