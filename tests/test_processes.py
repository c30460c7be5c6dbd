"""What shows only in a process of its own: warm starts, forks, threads, memory, and what is missing."""

import os
import subprocess
import sys

import pytest


def output(program: str, **environment: str) -> str:
    """What a program prints, run by another Python."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.apart
def test_a_kernel_is_a_file_and_the_next_process_starts_warm(tmp_path):
    """The same program twice: the second compiles nothing, and rewrites no file."""
    program = """
import torch, thalweg.optim as optim
from thalweg.engines import cpu
p = torch.nn.Parameter(torch.ones(5)); p.grad = torch.ones(5)
o = optim.Adam([p]); o.step()
module = cpu.build(o._update(o.param_groups[0]), torch.float32)
print(sum(module.span.stats.cache_hits.values()), sum(module.span.stats.cache_misses.values()))
"""
    assert [output(program, THALWEG_CACHE=str(tmp_path)) for _ in range(2)] == ["0 1\n", "1 0\n"]
    [file] = tmp_path.glob("*.py")
    assert "m = __s0 * m + __s1 * g" in file.read_text()


@pytest.mark.apart
def test_a_broken_kernel_file_is_made_again_and_a_closed_folder_is_no_obstacle(tmp_path):
    program = """
import torch, thalweg.optim as optim
p = torch.nn.Parameter(torch.ones(5)); p.grad = torch.ones(5)
optim.SGD([p], lr=0.5).step()
print(p.tolist())
"""

    expected = "[0.5, 0.5, 0.5, 0.5, 0.5]\n"
    assert output(program, THALWEG_CACHE=str(tmp_path)) == expected
    [file] = tmp_path.glob("*.py")
    file.write_text("half of a ker")
    assert output(program, THALWEG_CACHE=str(tmp_path)) == expected
    # A file stands where the folder should be.
    assert output(program, THALWEG_CACHE=str(file), TMPDIR=str(tmp_path)) == expected


@pytest.mark.apart
@pytest.mark.parametrize("parent", ["o.step()", "torch.ones(2000, 2000) @ torch.ones(2000, 2000)"])
def test_a_step_in_a_forked_child_does_not_die(parent):
    """OpenMP's threads, those of torch too, do not cross a fork; a child that steps large parameters must live."""
    program = f"""
import os, torch, thalweg.optim as optim
torch.set_num_threads(2)
p = torch.nn.Parameter(torch.ones(300_000)); p.grad = torch.ones(300_000)
o = optim.SGD([p], lr=0.25)
{parent}
before = p[-1].item()
child = os.fork()
if child == 0:
    o.step()
    os._exit(0 if p[-1].item() == before - 0.25 else 3)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert output(program) == "0\n"


@pytest.mark.apart
def test_threads_of_the_user_may_step_at_once(tmp_path):
    """Four optimizers in four threads, from the first kernel's making on."""
    program = """
import threading, torch, thalweg.optim as optim
def work():
    p = torch.nn.Parameter(torch.ones(200_000))
    optimizer = optim.Adam([p])
    for _ in range(20):
        p.grad = torch.ones(200_000)
        optimizer.step()
    ends.append(round(p[-1].item(), 4))
ends = []
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(ends)
"""
    assert output(program, THALWEG_CACHE=str(tmp_path)) == "[0.98, 0.98, 0.98, 0.98]\n"


@pytest.mark.apart
def test_a_step_allocates_no_temporary_the_size_of_a_parameter():
    """Peak resident memory of steps 2 to 5 against the size of one parameter, 64 MiB."""
    program = """
import resource, torch, thalweg.optim as optim
p = torch.nn.Parameter(torch.ones(1 << 24)); p.grad = torch.ones(1 << 24)
o = optim.Adam([p]); o.step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for _ in range(4): o.step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    assert int(output(program)) < 16 * 1024  # KiB


@pytest.mark.apart
def test_importing_the_optimizers_needs_torch_numpy_and_numba_alone():
    program = """
import sys
import thalweg, thalweg.optim
heavy = {"scipy", "sklearn", "bokeh", "pandas", "statsmodels", "typer", "rich", "triton", "optuna"}
print(sorted(heavy & set(sys.modules)))
"""
    assert output(program) == "[]\n"


@pytest.mark.apart
def test_without_the_labs_libraries_it_is_said_what_to_install():
    program = """
import sys
sys.modules["scipy"] = None
import thalweg
try:
    thalweg.compare("digits")
except ImportError as error:
    print(error)
"""
    assert output(program) == "thalweg.compare needs scipy: pip install 'thalweg[lab]'\n"


@pytest.mark.apart
def test_without_triton_the_cuda_engine_says_what_to_install():
    program = """
import sys
sys.modules["triton"] = None
import torch, thalweg.optim as optim
try:
    optim.Adam([torch.nn.Parameter(torch.ones(1))], engine="cuda")
except ImportError as error:
    print(error)
"""
    assert output(program) == "engine='cuda' needs Triton: pip install 'thalweg[cuda]'\n"


@pytest.mark.apart
def test_the_users_thread_count_stays():
    """Numba's start sets OpenMP's thread count, which is torch's too."""
    program = """
import torch, thalweg.optim as optim
p = torch.nn.Parameter(torch.ones(300_000)); p.grad = torch.ones(300_000)
for count in (1, 2, 3):
    torch.set_num_threads(count)
    optim.SGD([p]).step()
    assert torch.get_num_threads() == count, (count, torch.get_num_threads())
"""
    output(program)
