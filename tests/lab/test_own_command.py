"""A command of one's own: its metric is read from wherever it says it, its end from its exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import own_loops
import pytest

import thalweg
from thalweg.lab.arguments import the_task
from thalweg.lab.errors import LabError, TaskError
from thalweg.lab.own_loop.command import LOG, filled
from thalweg.lab.own_loop.reading import LineReader, read_file
from thalweg.lab.own_loop.trial import trial_of
from thalweg.lab.search import declared
from thalweg.lab.study.optimizers import resolve
from thalweg.lab.task.own_loop import OwnLoop
from thalweg.lab.training.job import Job
from thalweg.lab.training.trial import Configuration, Status


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(own_loops.SCRIPT)
    return path


def command(script, rest="--lr {lr} --seed {seed}", **more):
    return OwnLoop(command=f"{sys.executable} {script} {rest}", metric="val_loss", direction="min", **more)


def run(loop, folder, lr=0.1, **more):
    [entry] = resolve(None, loop) if loop.makes_optimizer else resolve(["sgd"], loop)
    job = Job("id", "search", 0, entry, Configuration(entry.name, {"lr": lr}, 3), 1, folder=str(folder), **more)
    return trial_of(loop, job)


@pytest.mark.parametrize(
    ("how", "more"),
    [("json", {}), ("text", {"read": r"val loss ([0-9.eE+-]+)"}),
     ("text", {"read": r"step (?P<step>\d+): val loss (?P<value>[0-9.]+)"}), ("report", {}),
     ("csv", {"file": "log.csv"}), ("jsonl", {"file": "log.jsonl"})],
)  # fmt: skip
def test_where_a_metric_is_read(script, tmp_path, how, more):
    loop = command(script, f"--lr {{lr}} --seed {{seed}} --folder {{folder}} --how {how}", **more)
    trial = run(loop, tmp_path / "run")
    assert trial.done, trial.message
    assert trial.curve.steps == [1, 2, 3]
    expected = 0.64**3
    assert expected < trial.metric < expected + 0.01


def test_another_seed_is_another_run(script, tmp_path):
    one, two = (run(command(script, f"--lr {{lr}} --seed {seed}{{seed}}"), tmp_path / seed) for seed in "12")
    assert one.metric != two.metric


@pytest.mark.parametrize(("lr", "status"), [(6, Status.CRASHED), (8, Status.INTERRUPTED)])
def test_an_exit_code_is_the_end(script, tmp_path, lr, status):
    trial = run(command(script), tmp_path / "run", lr)
    assert trial.status is status
    assert trial.message.startswith("exit code 1: ") and trial.curve.steps == [1, 2, 3]
    assert "Error" in (tmp_path / "run" / LOG).read_text()


def test_one_that_says_nothing_has_no_value(tmp_path):
    loop = OwnLoop(command=f"{sys.executable} -c pass {{seed}}", metric="x", direction="max")
    trial = run(loop, tmp_path)
    assert trial.status is Status.CRASHED
    said = "neither returned nor reported; looked for as a line of JSON with 'x'; --read takes it from any other output"
    assert f"{said}; the command has no {{folder}}" in trial.message


def test_a_time_limit_ends_it_and_what_it_started(tmp_path):
    pid = tmp_path / "pid"
    code = "import subprocess, time; child = subprocess.Popen(['sleep', '60']); "
    code += f"open({str(pid)!r}, 'w').write(str(child.pid)); time.sleep(60)"
    loop = OwnLoop(command=f'{sys.executable} -c "{code}" {{seed}}', metric="x", direction="min")
    trial = run(loop, tmp_path / "run", limit=8.0)
    assert trial.status is Status.TIMED_OUT
    for _ in range(100):  # killed, it is there until whoever inherits it has looked
        if not _alive(int(pid.read_text())):
            break
        time.sleep(0.1)
    assert not _alive(int(pid.read_text()))


@pytest.mark.apart
def test_it_ends_with_the_study_however_that_ends(tmp_path):
    """kill -9 of the study: nothing goes on writing into the run's folder."""
    pid = tmp_path / "pid"
    study = f"""
import sys
from thalweg.lab.own_loop.command import Process
from pathlib import Path
Process([sys.executable, "-c", "import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(60)"],
        Path({str(tmp_path)!r})).wait()
"""
    child = subprocess.Popen([sys.executable, "-c", study])
    for _ in range(300):
        if pid.exists() and pid.read_text():
            break
        time.sleep(0.1)
    number = int(pid.read_text())
    assert _alive(number)
    child.send_signal(signal.SIGKILL)
    child.wait()
    for _ in range(100):
        if not _alive(number):
            break
        time.sleep(0.1)
    assert not _alive(number), "the command outlived its study"


def _alive(pid):
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_tuned_without_an_optimizer_of_ours(script, tmp_path):
    loop = command(script, "--lr {lr} --seed {seed} --width {width}", name="script")
    found = thalweg.tune(
        loop, None, hyperparameters="lr=1e-3:1:0.01,width=1:4", trials=5, finalists=1, finalist_seeds=2,
        method="sobol", out=tmp_path / "study",
    )  # fmt: skip
    assert next(trial.settings for trial in found.trials if trial.index == 0) == {"lr": 0.01, "width": 2}
    assert found.line.endswith(f"--lr {found.tuned.settings['lr']} --seed 1000 --width {found.tuned.settings['width']}")
    assert "script, tuned to" in found.verdict and "script on script" not in found.verdict
    assert "script, tuned" in (tmp_path / "study" / "report.html").read_text()
    runs = list((tmp_path / "study" / "runs").iterdir())
    assert all((folder / LOG).exists() and json.loads((folder / "run.json").read_text()) for folder in runs)


@pytest.mark.apart
def test_optimizers_are_compared_by_name(script, tmp_path):
    loop = command(script, "--lr {lr} --seed {seed} --optimizer {optimizer}")
    found = thalweg.compare(loop, ["sgd", "adamw"], trials=2, finalist_seeds=2, out=tmp_path / "study")
    assert {row.optimizer for row in found.rows} == {"sgd", "adamw"}
    assert found.line == f"{sys.executable} {script} --lr {found.rows[0].settings['lr']} --seed 1000 --optimizer " + (
        found.rows[0].optimizer
    )


@pytest.mark.parametrize(
    ("rest", "said"),
    [("--lr {lr}", "must have {seed}"), ("--seed {seed} {lr} '", "No closing quotation")],
)  # fmt: skip
def test_commands_that_are_refused(script, rest, said):
    with pytest.raises(TaskError, match=said):
        command(script, rest).check()


def test_a_program_that_is_not_there_is_said_before_anything_runs():
    with pytest.raises(TaskError, match="no program 'nosuchprogram'"):
        OwnLoop(command="nosuchprogram {seed}", metric="x", direction="min").check()


def test_placeholders_and_what_is_tuned_must_fit(script):
    [entry] = resolve(None, command(script))
    with pytest.raises(LabError, match=r"has no \{width\}"):
        declared.choose(entry, command(script), "lr=1e-3:1,width=1:4")
    with pytest.raises(LabError, match=r"nothing fills \{width\}"):
        declared.choose(entry, command(script, "{seed} {lr} {width}"), "lr=1e-3:1")
    with pytest.raises(LabError, match=r"must have \{optimizer\}"):
        resolve(["sgd"], command(script))


def test_no_shell_reads_what_is_filled_in():
    assert filled("a '{x}' b{x} {y}", {"x": "1; rm *", "y": (0.9, 0.99)}) == ["a", "1; rm *", "b1; rm *", "0.9,0.99"]


def test_lines_of_json_and_of_text():
    reader = LineReader("loss")
    lines = ['{"loss": 1, "epoch": 2}', '{"loss": "NaN"}', '{"other": 3}', "loss 3", '{"loss": true}', '["loss"]', "{"]
    found = [report for line in lines for report in reader.reports(line)]
    assert found[0] == (2, 1.0) and found[1][0] is None and found[1][1] != found[1][1]
    assert found[2:] == [(None, None)]  # true is a value that is missing
    assert list(LineReader("x", "a(.)").reports("a1 a2 ab")) == [(None, 1.0), (None, 2.0), (None, None)]


@pytest.mark.parametrize(
    ("read", "line", "expected"),
    [("val loss ([0-9.]+)", "step 9: val loss nan", "[nan]"), ("val loss ([0-9.]+)", "val loss -inf,", "[-inf]"),
     ("val loss ([0-9.]+)", "val loss 3.000e+03, lr 1", "[3000.0]"), ("loss=([0-9.]+)", "loss=-0.5", "[-0.5]"),
     ("loss.*?([0-9.]+)", "loss nan, step 5", "[nan]"), (r"(?P<step>\d+): ([0-9.]+)", "7: nan", "[nan]"),
     (r"(?:val|test) loss\((?P<value>[0-9.]+)\)", "val loss(NaN)", "[nan]"), (r"loss (\S+)", "loss 0.25,", "[0.25]"),
     ("loss ([0-9.]+)", "loss information 3, loss 2.4531.", "[2.4531]"), (r"loss (\S+)", "loss went down", "[None]"),
     (r"took ([0-9.]+)s", "took 0.25s", "[0.25]"), ("loss ([0-9.]+).*", "loss 3e3 done", "[3000.0]"),
     (r"loss (\S+)", "loss tensor(nan, grad_fn=<MeanBackward0>)", "[nan]"),
     (r"loss (\S+)", "loss tensor(0.3000, device='cuda:0', dtype=torch.float64), lr 1", "[0.3]"),
     (r"loss \D*([0-9.]+)", "loss tensor(nan, device='cuda:0')", "[nan]"),
     ("loss ([0-9.]+)", "loss np.float64(0.5)", "[0.5]"), (r"loss tensor\(([0-9.]+)", "loss tensor(0.5)", "[0.5]"),
     (r"loss (\S+)", "loss array([2.5e-05], dtype=float32)", "[2.5e-05]"), (r"acc (\S+)", "acc 93.1%", "[93.1]"),
     (r"loss (\S+)", "loss tensor([[0.49]])", "[0.49]"),
     (r"loss (\S+)", "loss None", "[None]"), (r"loss (\S+)", "loss N/A, step 3", "[None]"),
     (r"loss ([0-9.]+),", "loss 12,345", "[12.0]"), (r"loss ([0-9.]+)", "loss 0.5,123", "[0.5]"),
     (r"loss (\d\.\d\d)", "loss 0.2531", "[0.2531]"), ("loss ([0-9.]+)", "loss 0.5 loss nan", "[0.5, nan]")],
)  # fmt: skip
def test_the_whole_number_is_read(read, line, expected):
    assert str([value for _, value in LineReader("x", read).reports(line)]) == expected


@pytest.mark.parametrize("line", ["val loss 3.0k", "val loss 1.2.3", "val loss 7_000"])
def test_a_part_of_a_word_is_no_number(line):
    with pytest.raises(LabError, match=rf"{line}.*must take all of the number, as \(\\S\+\)"):
        list(LineReader("x", r"val loss (\d\.?\d?)").reports(line))


@pytest.mark.parametrize(
    ("read", "line"),
    [(r"loss (\S+)", "loss 1,234.5"), (r"loss ([0-9.]+)", "loss 1,234.5"), (r"loss (\S+)", "loss tensor([0.5, 0.6])"),
     (r"loss (\S+)", "loss 0.5/10")],
)  # fmt: skip
def test_what_could_be_two_numbers_is_refused(read, line):
    """1 was read of 1,234.5, and what is no number was passed over for the value before it."""
    with pytest.raises(LabError, match="got "):
        list(LineReader("x", read).reports(line))


@pytest.mark.parametrize(
    ("lines", "metric", "file", "missing"),
    [
        (['{"step": 1, "x": 0.5}', '{"step": 2, "x": null}'], "x", "", True),
        (['{"step": 1, "x": null}', '{"step": 2, "x": 0.5}'], "x", "", False),
        (["step,x", "1,0.5", "2,"], "x", "log.csv", True),
        (["step,train,x", "1,0.7,0.5", "2,0.6,"], "x", "log.csv", True),
        (["step,train,x", "1,0.7,", "1,,0.5", "2,0.6,"], "x", "log.csv", False),  # rows of another kind
        (["step,x", "1,tensor(nan)"], "x", "log.csv", True),
        (['{"x": "tensor(0.5)"}'], "x", "log.jsonl", False),
    ],
)
def test_a_last_value_that_is_missing_is_no_older_one(tmp_path, lines, metric, file, missing):
    """The value before it was taken, silently."""
    path = tmp_path / "script.py"
    path.write_text(
        f"import sys\nprint(*{lines!r}, sep='\\n', file=open(sys.argv[1] + '/{file}', 'w') if {file!r} else None)"
    )
    loop = OwnLoop(command=f"{sys.executable} {path} {{folder}} {{seed}}", metric=metric, direction="min", file=file)
    trial = run(loop, tmp_path / "run")
    assert trial.status is (Status.NOT_A_NUMBER if missing else Status.DONE), trial.message
    assert "x " in trial.message if missing else trial.metric == 0.5


@pytest.mark.parametrize("text", ["\ufeffx,step\n0.5,1\n", "step, x\n1, 0.5\n", "step;x\n1;0.5\n", "step\tx\n1\t0.5\n"])
def test_tables_as_other_programs_write_them(tmp_path, text):
    (tmp_path / "log.csv").write_text(text, encoding="utf-8")
    assert read_file(tmp_path / "log.csv", "x") == [(1, 0.5)]


def test_a_file_without_the_metric_is_named_with_its_columns(tmp_path):
    path = tmp_path / "script.py"
    path.write_text("import sys\nopen(sys.argv[1] + '/log.csv', 'w').write('step,val_acc\\n1,0.5\\n')")
    loop = OwnLoop(command=f"{sys.executable} {path} {{folder}} {{seed}}", metric="x", direction="min", file="log.csv")
    assert "log.csv has the columns step, val_acc" in run(loop, tmp_path / "run").message
    assert "log.csv was not written" in run(replace(loop, command="echo {folder} {seed}"), tmp_path / "none").message


def test_a_row_that_is_half_written_is_left_for_later(tmp_path):
    (tmp_path / "log.csv").write_text("step,x\n1,0.5\n2,0.")
    assert read_file(tmp_path / "log.csv", "x", whole=False) == [(1, 0.5)]
    assert read_file(tmp_path / "log.csv", "x") == [(1, 0.5), (2, 0.0)]


def test_the_line_of_a_command_runs_as_it_is_pasted(script, tmp_path, monkeypatch):
    """It had {seed} and {folder} in it."""
    monkeypatch.chdir(tmp_path)
    loop = command(script, "--lr {lr} --seed {seed} --folder {folder} --how csv", file="log.csv", name="script")
    found = thalweg.tune(loop, None, hyperparameters="lr=1e-3:1:0.01", trials=3, finalists=1, finalist_seeds=2,
                         method="sobol", out=tmp_path / "study")  # fmt: skip
    subprocess.run(found.line, shell=True, check=True)
    [log] = tmp_path.glob("best-*/log.csv")
    trial = next(t for t in found.trials if t.phase == "final" and t.seed == 1000 and t.index == found.tuned.index)
    assert read_file(log, "val_loss")[-1] == (3, trial.metric)


def test_a_run_that_says_a_part_of_a_word_fails(tmp_path):
    loop = OwnLoop(command="echo val loss 3.0k {seed}", metric="x", direction="min", read="loss ([0-9.]+)")
    trial = run(loop, tmp_path)
    assert trial.status is Status.CRASHED and "'val loss 3.0k 3'" in trial.message


@pytest.mark.parametrize(
    ("lines", "done"),
    [(["loss 0.5", "loss ERROR"], False), (["loss 0.5", "loss --"], False), (["loss goes down", "loss 0.5"], True)],
)
def test_a_last_word_that_is_no_number_is_no_older_value(tmp_path, lines, done):
    """Earlier it may be text that matches by chance."""
    text = " ".join(map(repr, lines))
    loop = OwnLoop(command=f"printf '%s\\n' {text} --{{seed}}", metric="x", direction="min", read=r"loss (\S+)")
    trial = run(loop, tmp_path)
    assert trial.done is done and (done or f"the line {lines[-1]!r}" in trial.message)
    assert not done or trial.curve.steps == [1]


def test_event_files_are_read(tmp_path):
    writer = pytest.importorskip("torch.utils.tensorboard").SummaryWriter(str(tmp_path))
    for step in (1, 2):
        writer.add_scalar("val/loss", 1 / step, step)
    writer.close()
    assert read_file(tmp_path, "val/loss") == [(1, 1.0), (2, 0.5)]
    assert read_file(tmp_path, "other") == [] and read_file(tmp_path / "nosuch.csv", "x") == []


def test_either_a_task_or_a_command():
    with pytest.raises(TaskError, match="must be one of the two"):
        the_task("digits", command="python x.py {seed}")
    task, again, _ = the_task(None, command="python some/train_gpt.py {seed}", direction="max")
    assert (task.name, task.metric, again) == ("train_gpt", "score", None)
    with pytest.raises(TaskError, match="direction: a thalweg.Task has its own"):
        the_task("digits", direction="max")


def test_a_scripts_run_is_the_studys(tmp_path, monkeypatch):
    monkeypatch.setenv("THALWEG_RUN", str(tmp_path))
    (tmp_path / "run.json").write_text('{"optimizer": "adam", "settings": {"lr": 0.5, "betas": [0.8, 0.9]}, "seed": 7}')
    own = thalweg.Run.here()
    assert (own.entry.name, own.seed, own.settings["betas"], own.folder) == ("adam", 7, (0.8, 0.9), tmp_path)
    thalweg.report(3, loss=0.25)
    own.report(4, 0.125)
    lines = [json.loads(line) for line in (tmp_path / "said.jsonl").read_text().splitlines()]
    assert [(line["step"], line["value"]) for line in lines] == [(3, 0.25), (4, 0.125)]
    monkeypatch.setenv("THALWEG_RUN", str(tmp_path / "gone"))
    with pytest.raises(LabError, match="is not the folder of a run"):
        thalweg.Run.here()


def test_outside_a_study_nothing_happens(tmp_path, monkeypatch):
    monkeypatch.delenv("THALWEG_RUN", raising=False)
    monkeypatch.chdir(tmp_path)
    assert thalweg.report(3, loss=0.25) is None and list(tmp_path.iterdir()) == []
    assert thalweg.Run.here("sgd").entry.name == "sgd"
    with pytest.raises(ValueError, match="got no value"):
        thalweg.report(3)
