"""`make gpu` has run before it meets a GPU: its checks and figures, tiny, with what a bare machine has."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from subjects import DEVICE

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(DEVICE.type != "cpu", reason="a dry run is of the CPU")
LACKING = ("numba", "scipy", "pandas", "bokeh", "ray", "pytest", "rich", "optuna", "statsmodels", "lightning")
BARE = f"""
import os, sys
os.environ["TRITON_INTERPRET"] = "1"
sys.modules.update(dict.fromkeys({LACKING}))  # importing any of them fails
sys.path.insert(0, "benchmarks")
import gpu, gpu_checks
{{setup}}
gpu_checks.CHECKS = tuple(getattr(gpu_checks, name) for name in {{checks}})
sys.argv = ["gpu.py", "--dry-run", *{{arguments}}]
sys.exit(gpu.main())
"""
WRONG = """
from thalweg.plan.plan import Plan
right = Plan.kernel_rows
Plan.kernel_rows = lambda plan, dtype: right(plan, dtype) * 1.01
"""


def script(checks, arguments, setup=""):
    text = BARE.format(checks=checks, arguments=arguments, setup=setup)
    environment = {"PYTHONPATH": str(ROOT / "src"), "PATH": "", "OMP_NUM_THREADS": "1", "HOME": str(Path.home())}
    given = dict(capture_output=True, text=True, cwd=ROOT, env=environment)
    return subprocess.run([sys.executable, "-c", text], check=False, **given)


@pytest.mark.apart
def test_the_checks_run_on_a_bare_machine():
    names = [
        "one_step",
        "one_step_with_a_default_device",
        "no_waiting",
        "two_graphs",
        "another_stream",
        "another_device",
        "many_elements",
    ]
    done = script(names, ["--only", "checks"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("\nok ") == len(names) and "FAILED" not in done.stdout


def test_every_rule_gets_shapes_that_it_takes(monkeypatch):
    """Muon takes matrices only."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import gpu_checks

    for entry in gpu_checks.CATALOGUE.values():
        for shapes in (gpu_checks.SHAPES, gpu_checks.FEW):
            entry.build([torch.nn.Parameter(torch.ones(shape)) for shape in gpu_checks.taken(entry, shapes)])
    assert gpu_checks.taken(gpu_checks.CATALOGUE["muon"], gpu_checks.FEW) == [(33, 17)]


@pytest.mark.apart
def test_the_first_failure_stops():
    done = script(["one_step", "another_stream"], ["--only", "checks"], WRONG)
    assert done.returncode == 1 and "RuntimeError" in done.stderr and "of the way apart" in done.stderr
    assert "FAILED  One Adam step" in done.stdout and "another stream" not in done.stdout


@pytest.mark.apart
def test_the_figures_are_printed():
    done = script([], ["--only", "figures", "--rules", "lamb"])
    assert done.returncode == 0, done.stdout + done.stderr
    for told in (
        "Sizes of programs",
        "2048 elements, 8 warps",
        "lamb: ours",
        "it shows that the bench runs, and no speed",
    ):
        assert told in done.stdout


@pytest.mark.apart
def test_without_a_card_it_says_so():
    given = dict(capture_output=True, text=True, cwd=ROOT)
    done = subprocess.run([sys.executable, "benchmarks/gpu.py"], check=False, env={"PYTHONPATH": "src"}, **given)
    assert done.returncode == 1 and "sees no CUDA device" in done.stderr
