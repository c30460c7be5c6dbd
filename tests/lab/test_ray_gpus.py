"""A Ray cluster of two nodes with faked GPUs: four runs at once; a study of a loop of one's own, killed and resumed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asking import jobs
from gpus import telling

from thalweg.lab.errors import LabError
from thalweg.lab.runners.ray import Ray
from thalweg.lab.runners.resources import VISIBLE, Resources

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
ray = pytest.importorskip("ray")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")
    (Path(folder) / "ray").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", folder)
        patch.delenv(VISIBLE, raising=False)
        node = {"num_cpus": 2, "num_gpus": 2, "include_dashboard": False, "object_store_memory": 80 * 2**20}
        found = Cluster(initialize_head=True, head_node_args={**node, "temp_dir": folder})
        found.add_node(**node)
        ray.init(address=found.address, logging_level="ERROR", log_to_driver=False)
        yield found
        ray.shutdown()
        found.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


def test_four_runs_at_once_each_with_a_gpu_of_its_own(cluster: Any, tmp_path: Path) -> None:
    runner = Ray(resources=Resources(gpus_per_run=1))
    trials = list(runner.run(telling(tmp_path, 4, 120.0), jobs(["sgd"], rates=[0.1, 0.2, 0.3, 0.4], seeds=1)))
    assert runner.workers == 4
    assert [trial.metric for trial in trials] == [1.0] * 4
    seen = sorted(path.read_text() for path in tmp_path.iterdir())
    assert seen == ["0", "0", "1", "1"]  # of each node's two


def test_more_gpus_than_there_are_is_said(cluster: Any) -> None:
    with pytest.raises(LabError, match="gpus_per_run: got 5; the Ray cluster has 4 GPUs"):
        Ray(resources=Resources(gpus_per_run=5)).start()


SCRIPT = """
import json, os, sys
name, lr, seed, folder = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
path, step, x = os.path.join(folder, "own.json"), 0, 1.0 + seed % 10
if os.path.exists(path):
    step, x = json.load(open(path))
if step == 3:  # killed after its last step: what it printed then may have had no reader any more
    print(json.dumps({"step": step, "loss": x * x}), flush=True)
while step < 3:
    step, x = step + 1, x - {"sgd": 1, "adam": 2, "adamw": 3}[name] * lr * x
    with open(path + ".new", "w") as file:
        json.dump([step, x], file)
    os.replace(path + ".new", path)
    print(json.dumps({"step": step, "loss": x * x}), flush=True)
"""
STUDY = """
import sys, time
import own_loops, thalweg


def slow(run):
    report = run.report

    def waits(step, value):
        report(step, value)
        time.sleep(0.05)

    run.report = waits
    return own_loops.train(run)


if __name__ == "__main__":
    command = f"{sys.executable} {sys.argv[3]} {{optimizer}} {{lr}} {{seed}} {{folder}}" if sys.argv[3:] else None
    found = thalweg.compare(None if command else slow, ["sgd", "adam", "adamw"], command=command, direction="min",
                            trials=2, finalist_seeds=2, on=sys.argv[2], out=sys.argv[1])
"""


@pytest.mark.parametrize("way", ["function", "command"])
def test_killed_twice_and_resumed_on_ray_it_is_the_undisturbed_study(cluster: Any, tmp_path: Path, way: str) -> None:
    (tmp_path / "plain.py").write_text(SCRIPT)  # a script that knows nothing of a study, with its own checkpoint
    words = [str(tmp_path / "plain.py")] if way == "command" else []
    script = tmp_path / "own_study.py"
    script.write_text(STUDY)

    def study(name: str, on: str) -> Any:
        return subprocess.Popen(
            [sys.executable, str(script), str(tmp_path / name), on, *words],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([*map(os.path.abspath, filter(None, sys.path))])},
        )

    def ended(name: str) -> int:
        path = tmp_path / name / "trials.jsonl"
        return path.read_bytes().count(b"\n") if path.exists() else 0

    assert study("whole", "alone").wait(300) == 0
    for least in (2, 6):
        killed = study("killed", "alone")
        end = time.time() + 200
        while ended("killed") < least and time.time() < end:
            time.sleep(0.02)
        killed.kill()
        killed.wait()
        assert least <= ended("killed") < 12
    assert study("killed", f"ray:{cluster.address}").wait(300) == 0
    tables = [(tmp_path / name / "table.csv").read_text() for name in ("whole", "killed")]
    assert tables[0] == tables[1] and tables[0].count("\n") == 4
