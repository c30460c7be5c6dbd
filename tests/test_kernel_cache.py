"""The kernel cache never fails a step, and runs nothing that another user can have written."""

import logging
import os
import pickle
import re
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch

import thalweg.optim as optim
from thalweg.engines import cpu, kernel_cache, machine_code

PACKAGE = Path(optim.__file__).parent.parent
STRANGER = 54321  # a user that this machine does not know
as_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root is any user it likes")

PROGRAM = """
import torch, thalweg.optim as optim
from thalweg.engines import cpu
p = torch.nn.Parameter(torch.ones(5)); p.grad = torch.ones(5)
o = optim.SGD([p], lr=0.5); o.step()
module = cpu.build(o._update(o.param_groups[0]), torch.float32)
print(p.tolist() == [0.5] * 5, len(module.span.stats.cache_hits), len(module.span.stats.cache_misses))
"""


# The interpreter may lie where only root can read: what a step imports is imported before the process changes its user.
BECOME = """
import os, sys, tempfile, torch, thalweg.optim as optim
with tempfile.TemporaryDirectory() as folder:
    wanted = os.environ.pop("THALWEG_CACHE", None)
    os.environ["THALWEG_CACHE"] = folder
    p = torch.nn.Parameter(torch.ones(5)); p.grad = torch.ones(5)
    for _ in range(2):
        optim.SGD([p], lr=0.25, engine="cpu").step()
        sys.modules["thalweg.engines.cpu"].build.cache_clear()
        for name in [name for name in sys.modules if name.startswith("thalweg_cpu_")]: del sys.modules[name]
    del os.environ["THALWEG_CACHE"]
    if wanted: os.environ["THALWEG_CACHE"] = wanted
os.setgroups([]); os.setgid({user}); os.setuid({user})
"""


def step_apart(user: int | None = None, program: str = PROGRAM, **environment: str | None) -> tuple[str, str]:
    """What a process of a user's prints, and what it says to stderr."""
    every = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1", **environment}
    if user is not None:
        program = BECOME.replace("{user}", str(user)) + program
    done = subprocess.run(
        [sys.executable, "-B", "-c", program],
        capture_output=True,
        text=True,
        env={name: value for name, value in every.items() if value is not None},
        cwd="/",
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), done.stderr


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty cache, and an empty temporary folder behind it."""
    monkeypatch.setenv("THALWEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    kernel_cache._tell.cache_clear()
    forget()
    yield tmp_path / "cache"
    forget()


def forget() -> None:
    """Kernels are made anew, as in another process."""
    cpu.build.cache_clear()
    for name in [name for name in sys.modules if name.startswith("thalweg_cpu_")]:
        del sys.modules[name]


def step() -> str:
    """One step with kernels made anew: where its machine code came from."""
    forget()
    p = torch.nn.Parameter(torch.ones(5))
    p.grad = torch.ones(5)
    optimizer = optim.SGD([p], lr=0.5, engine="cpu")
    optimizer.step()
    assert p.tolist() == [0.5] * 5
    stats = cpu.build(optimizer._update(optimizer.param_groups[0]), torch.float32).span.stats
    assert len(stats.cache_hits) + len(stats.cache_misses) == 1
    return "kept" if stats.cache_hits else "compiled"


def flipped(at: int):
    def flip(content: bytes) -> bytes:
        place = at % len(content)
        return content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :]

    return flip


DAMAGES = {
    "truncated": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "one byte": lambda content: content[:1],
    "a bit of the start": flipped(0),
    "a bit of the middle": flipped(5000),
    "a bit of the end": flipped(-1),
    "not UTF-8": lambda content: b"\xff\xfe\x80" + content,
    "zeros": lambda content: bytes(len(content)),
    "longer": lambda content: content + b"\n",
}


@pytest.mark.parametrize("suffix", [".py", ".nbc"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_made_again(folder, suffix, damage):
    assert step() == "compiled" and step() == "kept"
    [file] = folder.glob(f"*{suffix}")
    before = file.read_bytes()
    file.write_bytes(DAMAGES[damage](before))
    assert step() == ("compiled" if suffix == ".nbc" else "kept")
    assert step() == "kept"
    assert suffix == ".nbc" or file.read_bytes() == before  # machine code may be laid out otherwise


def as_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def as_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def as_link(file: Path) -> None:
    file.rename(file.with_suffix(".elsewhere"))
    file.symlink_to(file.with_suffix(".elsewhere"))


def as_broken_link(file: Path) -> None:
    file.unlink()
    file.symlink_to("nowhere")


@pytest.mark.parametrize("suffix", [".py", ".nbc"])
@pytest.mark.parametrize(
    "replace", [as_folder, as_pipe, as_link, as_broken_link, Path.unlink], ids=lambda f: f.__name__
)
def test_what_is_no_file_is_no_obstacle(folder, suffix, replace):
    step()
    [file] = folder.glob(f"*{suffix}")
    replace(file)
    assert step() == ("compiled" if suffix == ".nbc" else "kept")
    assert step() == "kept"  # where a folder stands in the way, from the next place


def test_machine_code_of_another_kernel_or_processor_is_not_run(folder):
    """A file under a wrong name says what it was made for."""
    step()
    [file] = folder.glob("*.nbc")
    p = torch.nn.Parameter(torch.ones(5))
    p.grad = torch.ones(5)
    optim.Lion([p], engine="cpu").step()
    [other] = set(folder.glob("*.nbc")) - {file}
    file.write_bytes(other.read_bytes())
    assert step() == "compiled"


def test_pickles_that_cannot_be_read_are_compiled_again(folder):
    """As after an update of Numba that kept its version: the digest is right, what it protects is not."""
    step()
    [file] = folder.glob("*.nbc")
    keys = []
    honest = machine_code.MachineCode._key
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine_code.MachineCode, "_key", lambda *given: keys.append(honest(*given)) or keys[-1])
        forget()
        step()
    payload = pickle.dumps(("nothing", "of", "use"))
    file.write_bytes(machine_code._digest(keys[0], payload) + payload)
    assert step() == "compiled" and step() == "kept"


def test_a_folder_that_cannot_be_made_is_replaced_by_one_in_the_temporary_folder(folder):
    folder.write_text("a file stands where the folder should be")
    assert step() == "compiled" and step() == "kept"
    [private] = Path(tempfile.tempdir).iterdir()
    assert stat.S_IMODE(private.stat().st_mode) == 0o700 and len(list(private.iterdir())) == 2


def test_what_lies_in_the_temporary_folder_moves_to_the_chosen_one(folder):
    """Else a folder that is filled for others would stay empty."""
    folder.write_text("a file")
    assert step() == "compiled"
    folder.unlink()
    assert step() == "kept"
    assert {file.suffix for file in folder.iterdir()} == {".py", ".nbc"}


def test_without_any_folder_kernels_live_in_memory(folder, monkeypatch):
    folder.write_text("a file")
    monkeypatch.setattr(tempfile, "tempdir", "/proc/nowhere")
    assert step() == "compiled" and step() == "compiled"


def test_a_new_folder_is_closed_to_others_under_any_umask(folder):
    before = os.umask(0)
    try:
        step()
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}


@pytest.mark.apart
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_a_full_disk_costs_a_compilation(tmp_path):
    """No file may grow beyond 1,000 bytes: what a disk says that is nearly full."""
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n" + PROGRAM
    told = step_apart(program=limited, THALWEG_CACHE=str(tmp_path / "cache"), TMPDIR=str(tmp_path))
    assert told[0] == "True 0 1"
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


@pytest.mark.apart
def test_numba_switched_off_is_said_once_and_stepped_by_reference():
    program = """
import logging, torch, thalweg.optim as optim
p = [torch.nn.Parameter(torch.ones(5)) for _ in range(2)]
for each in p: each.grad = torch.ones(5)
for _ in range(2): optim.SGD(p, lr=0.25).step()
print(p[0].tolist() == [0.5] * 5)
try: optim.SGD(p, engine="cpu").step()
except ValueError as error: print(error)
"""
    printed, said = step_apart(program=program, NUMBA_DISABLE_JIT="1")
    assert printed.splitlines()[0] == "True"
    assert "engine='cpu' cannot step a parameter of shape (5,): NUMBA_DISABLE_JIT is set" in printed
    assert said.count("stepped by plain torch operations: NUMBA_DISABLE_JIT is set") == 1


def test_nothing_of_ours_is_in_numbas_cache():
    """It raises where a file is damaged, or no folder can be written: RuntimeError, no locator available."""
    assert [path for path in PACKAGE.rglob("*.py") if re.search(r"\bcache\"?[=:] ?True", path.read_text())] == []


# -- other users: as root, who can be any of them ---------------------------------------------------------------------


class Planted:
    """What runs when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def plant(file: Path, mark: Path) -> None:
    """Put code into a cache file that has everything but the right owner."""
    keys = []
    honest = machine_code.MachineCode._key
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine_code.MachineCode, "_key", lambda *given: keys.append(honest(*given)) or keys[-1])
        step()
    payload = pickle.dumps(Planted(mark))
    file.write_bytes(machine_code._digest(keys[0], payload) + payload)


@pytest.fixture
def planted(folder, tmp_path):
    step()
    [file] = folder.glob("*.nbc")
    plant(file, tmp_path / "ran")
    for script in folder.glob("*.py"):
        script.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    return folder, tmp_path / "ran"


def test_what_is_planted_would_run(planted):
    """The tests below can fail: in a folder of one's own the same file is believed."""
    step()
    assert planted[1].exists()


@as_root
@pytest.mark.parametrize("what", ["the folder", "the file", "both"])
def test_what_belongs_to_another_user_is_not_run(planted, what, caplog):
    folder, ran = planted
    for path in {"the folder": [folder], "the file": folder.iterdir(), "both": [folder, *folder.iterdir()]}[what]:
        os.chown(path, STRANGER, STRANGER)
    with caplog.at_level(logging.WARNING, "thalweg"):
        step()
        step()
    assert not ran.exists()
    assert len(caplog.records) == (0 if what == "the file" else 1)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777, 0o1777])
def test_a_folder_that_others_can_write_to_is_not_used_and_said_once(planted, mode, caplog):
    folder, ran = planted
    folder.chmod(mode)
    with caplog.at_level(logging.WARNING, "thalweg"):
        assert step() == "compiled" and step() == "kept"
    assert not ran.exists()
    [said] = [record.getMessage() for record in caplog.records]
    assert str(folder) in said and "others may write to it" in said
    assert stat.S_IMODE(folder.stat().st_mode) == mode  # somebody's folder is left as it is


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_to_is_not_run(planted, mode):
    folder, ran = planted
    for file in folder.iterdir():
        file.chmod(mode)
    assert step() == "compiled" and step() == "kept"
    assert not ran.exists()


@as_root
def test_a_private_folder_that_somebody_made_before_is_not_used(folder, tmp_path):
    folder.write_text("no folder")
    private = Path(tempfile.tempdir) / "thalweg-0"
    private.mkdir(0o777)
    os.chown(private, STRANGER, STRANGER)
    assert step() == "compiled" and step() == "compiled"
    assert list(private.iterdir()) == []


@pytest.fixture
def open_folder(tmp_path_factory):
    """A folder that every user reaches; pytest's are closed."""
    path = Path(tempfile.mkdtemp(prefix="thalweg-test-", dir="/tmp"))  # the tests' own is closed to others
    path.chmod(0o755)
    (path / "temporary").mkdir()
    (path / "temporary").chmod(0o1777)
    yield path
    subprocess.run(["rm", "-rf", str(path)], check=True)


@pytest.mark.apart
@as_root
def test_a_user_without_a_home_has_a_folder_of_its_own(open_folder):
    temporary = open_folder / "temporary"
    nowhere = {"HOME": None, "XDG_CACHE_HOME": None, "THALWEG_CACHE": None, "TMPDIR": str(temporary)}
    assert [step_apart(STRANGER, **nowhere)[0] for _ in range(2)] == ["True 0 1", "True 1 0"]
    private = temporary / f"thalweg-{STRANGER}"
    assert stat.S_IMODE(private.stat().st_mode) == 0o700 and private.stat().st_uid == STRANGER


@pytest.mark.apart
@as_root
def test_a_warm_cache_that_cannot_be_written_is_read(open_folder):
    """As in a container's image: filled by root, used by another."""
    cache = open_folder / "cache"
    step_apart(THALWEG_CACHE=str(cache))
    cache.chmod(0o755)
    for file in cache.iterdir():
        file.chmod(0o644)
    before = sorted(cache.iterdir())
    environment = {"HOME": "/nonexistent", "THALWEG_CACHE": str(cache), "TMPDIR": str(open_folder / "temporary")}
    assert step_apart(STRANGER, **environment) == ("True 1 0", "")
    other = PROGRAM.replace("lr=0.5)", "lr=0.5, maximize=True)").replace("[0.5]", "[1.5]")
    assert [step_apart(STRANGER, other, **environment)[0] for _ in range(2)] == ["True 0 1", "True 1 0"]
    assert sorted(cache.iterdir()) == before
