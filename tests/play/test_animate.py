"""Pictures of a race: moving and still."""

import builtins
import io
import shutil

import numpy as np
import pytest
from PIL import Image

from thalweg.play import animate, race


@pytest.fixture(scope="module")
def found():
    return race("saddle", {"adam": {"lr": 0.1}, "momentum": {"lr": 0.01}}, 30)


def test_a_gif_shows_the_paths_grow(found, tmp_path):
    path = animate(found, tmp_path / "race.gif", seconds=2, every=5, dpi=50)
    with Image.open(path) as picture:
        frames = []
        for k in range(picture.n_frames):
            picture.seek(k)
            frames.append(np.array(picture.convert("RGB")))
            assert picture.info["duration"] == pytest.approx(2000 / 7, abs=10)
        assert picture.info["loop"] == 0
    assert len(frames) == 7 and frames[0].shape == (200, 450, 3)
    changed = [(frame != frames[0]).any(-1).sum() for frame in frames]
    assert changed == sorted(changed) and changed[1] > 0, "paths are added, nothing is taken away"
    still = np.mean([(frame == frames[0]).all(-1).mean() for frame in frames])
    assert still > 0.9, "what is drawn once stays"
    assert path.stat().st_size < 100_000


def test_the_last_picture_is_the_still_one(found, tmp_path):
    """But for the palette."""
    path = animate(found, tmp_path / "race.gif", every=30, dpi=80)
    with Image.open(path) as picture:
        picture.seek(picture.n_frames - 1)
        last = np.array(picture.convert("RGB"), int)
    still = np.array(Image.open(io.BytesIO(found._repr_png_())).convert("RGB"), int)
    assert last.shape == still.shape
    assert (abs(last - still).max(-1) > 60).mean() < 0.003


def test_a_surface_of_one_number_has_pictures_too(tmp_path):
    one = race("fourth", ["sgd"], 5)
    assert one._repr_png_().startswith(b"\x89PNG")
    assert animate(one, tmp_path / "one.gif", dpi=40).stat().st_size > 0


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg")
def test_an_mp4(found, tmp_path):
    path = animate(found, tmp_path / "race.mp4", seconds=1, dpi=45)
    assert path.read_bytes()[4:8] == b"ftyp"


def test_without_ffmpeg_an_mp4_is_refused(found, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"\.mp4 needs the program ffmpeg.*or write a \.gif"):
        animate(found, tmp_path / "race.mp4")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_refused(found, tmp_path):
    with pytest.raises(ValueError, match=r"path: 'race\.webm'; must end in \.gif or \.mp4"):
        animate(found, tmp_path / "race.webm")
    with pytest.raises(ValueError, match="path: no folder"):
        animate(found, tmp_path / "nowhere" / "race.gif")
    for wrong in ({"every": 0}, {"seconds": float("nan")}, {"dpi": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))}="):
            animate(found, tmp_path / "race.gif", **wrong)
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib_the_extra_is_named(found, tmp_path, monkeypatch):
    there = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ModuleNotFoundError(name=name)
        return there(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'thalweg\[play\]'"):
        animate(found, tmp_path / "race.gif")
    assert found._repr_png_() is None
