"""A Ray cluster of two machines' worth of workers: the same trials, also where one machine is lost midway."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import little
import pytest
import torch
from asking import jobs, numbers

from thalweg.lab.errors import LabError
from thalweg.lab.runners import Alone
from thalweg.lab.runners.lanes.runner import Lanes
from thalweg.lab.runners.ray import LIVES, Ray, _after_loss
from thalweg.lab.runners.ray_address import JOIN, PORT
from thalweg.lab.training.agreement import distance
from thalweg.lab.training.job import Job
from thalweg.lab.verbs.compare import compare

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
ray = pytest.importorskip("ray")


@pytest.fixture(scope="module", autouse=True)
def own_folder() -> Iterator[str]:
    """Where Ray writes; it notes a cluster's address in a folder that it does not make."""
    folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")
    (Path(folder) / "ray").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", folder)
        yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def cluster(own_folder: str) -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 80 * 2**20}
    found = Cluster(initialize_head=True, head_node_args={**node, "temp_dir": own_folder})
    ray.init(address=found.address, logging_level="ERROR", log_to_driver=False)  # while there is no other to connect to
    found.second = found.add_node(**node)
    yield found
    ray.shutdown()
    found.shutdown()


def test_two_machines_give_the_same_trials(cluster: Any) -> None:
    class Local(torch.optim.SGD):
        pass

    task = little.task(model=lambda: little.network())
    asked = [*jobs(["adam", Local], seeds=2), *jobs(["sgd"], rates=[0.1, 1e6], seeds=1, phase="final")]
    runner = Ray()
    assert numbers(runner.run(task, asked)) == numbers(Alone().run(task, asked))
    assert runner.workers == 2
    side = Ray(inner=Lanes(4), batch=4)
    assert numbers(side.run(task, asked)) == numbers(Lanes(4).run(task, asked))


class Slow(torch.optim.SGD):
    """Leaves the name of its machine, and takes its time."""

    folder = ""

    def step(self, closure: Any = None) -> Any:
        node = ray.get_runtime_context().get_node_id()
        (Path(self.folder) / node).write_text("")
        patience = time.time() + 60
        while len(list(Path(self.folder).iterdir())) < 2 and time.time() < patience:
            time.sleep(0.05)  # else one machine may be through before the other has started
        time.sleep(0.05)
        return super().step(closure)


def test_a_machine_lost_midway_costs_time_and_no_trial(cluster: Any, tmp_path: Path) -> None:
    class Here(Slow):
        folder = str(tmp_path)

    asked = jobs([Here], rates=[0.1, 0.2, 0.3], seeds=2, epochs=2)
    trials = Ray().run(little.task(), asked)
    found = [next(trials)]
    deadline = time.time() + 60
    while len(list(tmp_path.iterdir())) < 2 and time.time() < deadline:
        time.sleep(0.02)
    assert len(list(tmp_path.iterdir())) == 2  # both machines are at work
    cluster.remove_node(cluster.second, allow_graceful=False)
    found += trials
    assert len(found) == len(asked) and all(trial.done for trial in found)
    curves = {trial.id: repr(trial.curve) for trial in found}

    class Same(torch.optim.SGD):
        pass

    expected = list(Alone().run(little.task(), jobs([Same], rates=[0.1, 0.2, 0.3], seeds=2, epochs=2)))
    assert [curves[each.id] for each in asked] == [repr(trial.curve) for trial in expected]


def test_a_study_on_ray(cluster: Any, tmp_path: Path) -> None:
    out = compare(little.task(), ["sgd"], on="ray", out=tmp_path / "ray", trials=3, finalist_seeds=2)
    alone = compare(little.task(), ["sgd"], on="alone", out=tmp_path / "alone", trials=3, finalist_seeds=2)
    there, here = ({trial.id: trial for trial in result.trials} for result in (out, alone))
    assert there.keys() == here.keys() and all(distance(there[id], here[id]) <= 1e-5 for id in here)
    assert str(out) == str(alone)
    assert any("Run by a Ray cluster" in note for note in out.notes)


def test_a_worker_killed_for_its_memory_is_called_so() -> None:
    """By its name: what else ends a worker may have any reason."""
    errors = pytest.importorskip("ray").exceptions
    for error, status in [(errors.OutOfMemoryError("0.9 of it used"), "out of memory"), (errors.RayError(), "crashed")]:
        first, second = jobs([torch.optim.SGD], seeds=1)
        deaths, todo = Counter({first.id: LIVES - 1}), deque[list[Job]]()
        [trial] = _after_loss({first.id: first, second.id: second}, error, todo, deaths)
        assert (trial.id, trial.status, list(todo)) == (first.id, status, [[second]])


def test_no_ray_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(LabError, match=r"on: Ray is not installed: pip install 'thalweg\[ray\]'"):
        list(Ray().run(little.task(), jobs(["sgd"])))


STUDY = """
import sys, time
sys.path[:0] = {path!r}
import little
from thalweg import optim
from thalweg.lab.verbs.compare import compare
from thalweg.lab.errors import LabError
from thalweg.lab.runners import ray_address
ray_address.JOIN = {join}
from thalweg.lab.runners import ray as module
module.PATIENCE = 3.0

class Slow(optim.SGD):  # torch's own imports a compiler at its first step, for half a minute on a busy machine
    def step(self, closure=None):
        time.sleep(0.02)
        return super().step(closure)

clock = time.time()
try:
    compare(little.task(), [Slow], on={on!r}, out={out!r}, trials=40)
except LabError as error:
    print(error, f"after {{time.time() - clock:.1f}} s", flush=True)
"""


def study(on: str, out: Path, join: float = JOIN) -> subprocess.Popen[str]:
    script = STUDY.format(path=sys.path, on=on, out=str(out), join=join)
    return subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=out.parent
    )


def test_an_address_where_nobody_answers(tmp_path: Path) -> None:
    assert PORT + JOIN < 30
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}"):
            with pytest.raises(LabError, match=f"on: no Ray cluster at {address}: nobody answers there") as caught:
                compare(little.task(), ["sgd"], on=f"ray:{address}", out=tmp_path / "nobody")
            assert "\n" not in str(caught.value)
        other.listen()  # somebody is there now, who says nothing
        out, error = study(f"ray:127.0.0.1:{port}", tmp_path / "silent", join=3.0).communicate(timeout=90)
    assert "no Ray cluster at" in out and "has not answered as Ray does within 3 seconds" in out, error
    assert list(tmp_path.iterdir()) == []


def test_a_head_that_is_killed_ends_the_study_with_a_word(own_folder: str, tmp_path: Path) -> None:
    """Ray by itself ends the process after a minute, and says nothing."""
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 80 * 2**20, "temp_dir": own_folder}
    head: Any = Cluster(initialize_head=True, head_node_args=node)  # type: ignore[no-untyped-call]
    driver = study(f"ray:{head.address}", tmp_path / "s")
    try:
        log = tmp_path / "s" / "trials.jsonl"
        deadline = time.time() + 180
        while not (log.exists() and log.read_bytes()) and time.time() < deadline and driver.poll() is None:
            time.sleep(0.1)
        head.head_node.kill_all_processes(check_alive=False)
        out, error = driver.communicate(timeout=60)
    finally:
        driver.kill()
        head.shutdown()
    assert re.search("the head of the Ray cluster at .* (has not answered for 3 seconds|is gone);", out), (out, error)
    assert driver.returncode == 0 and log.read_bytes().endswith(b"}\n")  # what had ended is kept
