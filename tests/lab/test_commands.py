"""The command line: what it prints, and one clear line and exit code 2 for what cannot be done."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import little
import pytest
from typer.testing import CliRunner

import thalweg
from thalweg.catalogue import CATALOGUE, Entry
from thalweg.lab.cli.commands import app
from thalweg.lab.cli.screen import Lines, wrapped
from thalweg.lab.cli.verbs import _read
from thalweg.lab.study.campaign import Progress


def run(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(words))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.apart
def test_what_a_shell_is_to_complete_is_one_word() -> None:
    words = [sys.executable, "-m", "thalweg", "--show-completion", "bash"]
    script = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert "complete -o default -F _thalweg_completion thalweg\n" in script + "\n"


@pytest.mark.apart
def test_compare_a_users_file(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(little.FILE)
    words = (
        "compare",
        f"{tmp_path / 'mine.py'}:task",
        "--optimizers",
        "sgd, adam",
        "--trials",
        "2",
        "--out",
        str(tmp_path / "s"),
    )
    code, out, error = run(*words)
    assert (code, error) == (0, "")
    assert out.startswith(f"14 runs; the study is in {tmp_path / 's'}\n")
    assert "sgd" in out and "adam" in out and f"report: {tmp_path / 's' / 'report.html'}" in out
    assert (tmp_path / "s" / "report.html").exists()
    code, out, _ = run(*words)
    assert code == 0 and "14 runs, 14 of them done before" in out
    code, _, error = run(*words, "--epochs", "5")
    assert code == 2 and "task.epochs: 3 -> 5" in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("compare", "no.py"), "task: no file no.py; must be a built-in task (`thalweg tasks` lists them), "),
        (("compare", "nothing"), "task: got 'nothing'; must be"),
        (
            ("compare", "digts"),
            "task: got 'digts'; did you mean 'digits', 'digits-cnn' or 'diabetes'? It must",
        ),
        (("compare", "digits", "--optimizers", "torch.optim.Nope"), "has no 'Nope'; its optimizers are Adafactor, "),
        (("compare", "digits", "--optimizers", "torch.optim.adamw.AdmW"), "did you mean 'AdamW'? Its optimizers are"),
        (("compare", "digits", "--optimizers", "json.Nope"), "it has no class of torch.optim.Optimizer: write one in"),
        (("lens", "pyproject.toml"), "pyproject.toml is not a file of torch.save; must"),
        (("compare", "digits", "--optimizers", "adamm"), "nor in the catalogue; did you mean 'adam'?"),
        (("compare", "digits", "--preset", "fast"), "preset: got 'fast'; must be quick, standard, thorough"),
        (("compare", "digits", "--preset", "quik"), "preset: got 'quik'; did you mean 'quick'? It must be quick, "),
        (("compare", "digits", "--on", "lane"), "on: got 'lane'; did you mean 'lanes'? It must be auto, alone, "),
        (("compare", "digits", "--on", "gpu"), "on: got 'gpu'; the device is the task's, Task(device='cuda'), and"),
        (("compare", "digits", "--optimizers", "adam(epss=1)"), "no setting 'epss'; did you mean 'eps'? It has lr,"),
        (("tune", "digits", "--optimizer", "adam", "--method", "tpee"), "method: got 'tpee'; did you mean 'tpe'? It"),
        (("tune", "digits"), "optimizer: got none; must be one, such as --optimizer adam; `thalweg compare TASK"),
        (("range-test", "digits", "--optimizer", "sgd,adam"), "optimizer: got 2 (sgd, adam); must be one, such as"),
        (("compare", "digits", "--trials", "0"), "trials: got 0; must be a whole number of at least 1"),
        (("compare", "digits", "--optimizers", ""), "optimizers: got ''; must be something, or be left out"),
        (("sweep", "digits", "--budget", " "), "budget: got ' '; must be something, or be left out"),
        (("report", ""), "folder: got ''; must be something, or be left out"),
        (("play", "digits", "--optimizers", ""), "optimizers: got ''; must be"),
        (("conform", "torch.optim.SGD", "--laws", ""), "laws: got ''; must be"),
        (("show", "adamm"), "adamm"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(words: tuple[str, ...], message: str) -> None:
    code, out, error = run(*words)
    assert code == 2 and out == ""
    assert message in error and error.count("\n") == 1 and error.startswith("thalweg: ")


def test_a_number_that_is_none_is_told() -> None:
    code, _, error = run("compare", "digits", "--trials", "many")
    assert code == 2 and "'--trials': " in error and "'many'" in error  # typer 0.16 says it without us
    code, _, error = run("lens", "digits", "--lr=fast")
    assert code == 2 and "'--lr': " in error and "'fast'" in error


def test_a_folder_that_is_not_there_is_said_with_those_that_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for verb in ("status", "report"):
        assert run(verb, "nowhere")[2] == (
            "thalweg: folder: no folder nowhere; `thalweg compare TASK --out FOLDER` makes one\n"
        )
    for name, file in (("one", "spec.json"), ("two", "tasks.json"), ("none", "other.json")):
        (tmp_path / "studies" / name).mkdir(parents=True)
        (tmp_path / "studies" / name / file).write_text("{}")
    assert (
        run("status", "nowhere")[2] == "thalweg: folder: no folder nowhere; those there are: studies/one, studies/two\n"
    )


def test_a_file_without_a_task_says_what_to_write(tmp_path: Path) -> None:
    (tmp_path / "empty.py").write_text("x = 1\n")
    _, _, error = run("compare", str(tmp_path / "empty.py"))
    assert "has no attribute 'task'; it has no Task and no function train(run); must have one of the two, such" in error
    (tmp_path / "mine.py").write_text(little.FILE.replace("task = ", "other = "))
    _, _, error = run("compare", str(tmp_path / "mine.py"))
    assert error.endswith(f"the tasks in it are other: {tmp_path / 'mine.py'}:other\n")


def test_what_is_listed_and_shown_is_told_as_json() -> None:
    told = {
        words: json.loads(run(*words.split(), "--json")[1])
        for words in ("tasks", "rules", "show adam", "show rprop", "show muon_adamw")
    }
    assert {one["name"] for one in told["tasks"]} >= {"digits", "mnist1d"}
    assert [one["name"] for one in told["rules"]] == [*CATALOGUE, "muon_adamw"]
    assert told["rules"][0]["searched"] == [0.001, 5.0]
    assert told["show adam"]["hyperparameters"]["lr"] == {"default": 1e-3, "valid": "lr >= 0", "searched": [1e-4, 0.1]}
    assert told["show adam"]["hyperparameters"]["betas"]["searched"] == [[0.5, 0.98], [0.95, 0.9999]]
    assert [*told["show adam"]["order"][0]] == ["lr", "beta1", "beta2", "eps", "weight_decay"]
    assert told["show rprop"]["order"] is None
    assert told["show muon_adamw"]["line"] == "thalweg.optim.MuonAdamW(model)"


def test_a_rule_is_shown_with_what_tune_searches_and_what_its_order_was_judged_on() -> None:
    _, adamw, _ = run("show", "adamw")
    rows = {line.split()[0]: line for line in adamw.splitlines() if line.strip()}
    assert rows["betas"].endswith("0.5 to 0.98, 0.95 to 0.9999") and rows["weight_decay"].endswith("0.005 to 1")
    told = " ".join(adamw.split())
    assert "was learned from all kinds of tasks" in told and "orders learned likewise without the kind of task" in told
    _, rprop, _ = run("show", "rprop")
    assert "No order of configurations to try was learned for rprop; there is one for adamw, adam, " in rprop


@pytest.mark.parametrize("name", ["adamw", "classical_nesterov", "asgd"])
def test_the_prose_of_a_rule_fits_the_terminal(name: str) -> None:
    rule = CATALOGUE[name].rule
    assert rule is not None
    texts = [rule.source, rule.paper, f"Departures: {rule.departures}"]
    for text in texts:
        told = wrapped(text, 80)
        assert told.split() == text.split()
        assert [line for line in told.splitlines() if len(line) > 80 and " = " not in line] == []
        equations = [line for line in text.splitlines() if line.startswith(" ")]
        assert [line for line in equations if line not in told.splitlines()] == []


def test_a_task_that_breaks_or_has_no_scalar_loss(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("import torch\nraise RuntimeError('first line\\nsecond line')\n")
    code, out, error = run("compare", str(path))
    assert (code, out, error) == (2, "", f"thalweg: task: {path}, line 2: RuntimeError: first line\n")
    path.write_text(little.FILE.replace("CrossEntropyLoss()", "CrossEntropyLoss(reduction='none')"))
    code, _, error = run("compare", str(path), "--out", str(tmp_path / "s"))
    assert code == 2 and error.startswith("thalweg: loss: returned a tensor of shape (32,); must be a scalar")
    assert not (tmp_path / "s").exists()


def test_rules_lists_the_catalogue() -> None:
    code, out, _ = run("rules")
    assert code == 0 and [line.split()[0] for line in out.splitlines()[1:]] == [*CATALOGUE, "muon_adamw"]


@pytest.mark.parametrize("name", CATALOGUE)
def test_show(name: str) -> None:
    code, out, _ = run("show", name)
    rule = CATALOGUE[name].rule
    assert code == 0 and rule is not None
    for part in (rule.title, rule.source, rule.paper, rule.equations, "lr >= 0", rule.departures):
        assert part in out


@pytest.mark.parametrize(("typed", "name"), [("AdamW", "adamw"), ("ScheduleFreeAdamW", "schedule_free_adamw")])
def test_a_rule_is_taken_by_its_class_too(typed: str, name: str) -> None:
    assert run("show", typed) == run("show", name) and Entry.of(f"{typed}(eps=1e-6)").name == f"{name}(eps=1e-6)"


WITHOUT_THE_LAB = """
import contextlib, io, json, sys
from thalweg.cli import main
from thalweg.lab.verbs.verb import LAB
sys.modules.update(dict.fromkeys(LAB))
told = []
for words in json.load(sys.stdin):
    sys.argv = ["thalweg", *words.split()]
    out, error, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
            if isinstance(code, str):  # as the interpreter would
                code = error.write(code) and 1
    told.append([code, out.getvalue(), error.getvalue()])
print(json.dumps(told))
"""
NEEDS_NO_LAB = {
    "--help": "range-test",
    "compare -h": "--optimizers",
    "--version": f"thalweg {thalweg.__version__} (torch ",
    "rules": "Adam with curvature",
    "show adam": "Adam",
    "tasks": "digits",
    "conform thalweg.optim.SGD --laws negative_lr": "HOLDS",
    "explain-difference torch.optim.SGD thalweg.optim.SGD": "No probe tells them apart",
}
NEEDS_IT = ["compare digits", "sweep digits --optimizers adam", "report studies"]


@pytest.mark.apart
def test_without_the_labs_extra_what_needs_none_works_and_else_the_way_to_get_it_is_said() -> None:
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_THE_LAB],
        input=json.dumps([*NEEDS_NO_LAB, *NEEDS_IT]), capture_output=True, text=True, check=True,
    )  # fmt: skip
    told = dict(zip([*NEEDS_NO_LAB, *NEEDS_IT], json.loads(result.stdout), strict=True))
    for words, says in NEEDS_NO_LAB.items():
        code, out, error = told[words]
        assert (code, error) == (0, "") and says.lower() in out.lower(), words
    for words in NEEDS_IT:
        code, _, error = told[words]
        assert code == 1 and "pip install 'thalweg[lab]'" in error and "Traceback" not in error, words


@pytest.mark.apart
def test_python_m_thalweg_is_the_command() -> None:
    result = subprocess.run([sys.executable, "-m", "thalweg", "--version"], capture_output=True, text=True, check=True)
    assert result.stdout.startswith(f"thalweg {thalweg.__version__} ")


def test_the_version_stands_in_one_place() -> None:
    project = (Path(thalweg.__file__).parents[2] / "pyproject.toml").read_text()
    assert thalweg.__version__ not in project and 'dynamic = ["version"]' in project


@pytest.mark.apart
def test_help_imports_nothing_heavy() -> None:
    heavy = "{'bokeh', 'sklearn', 'pandas', 'statsmodels', 'scipy'}"
    script = f"import sys; import thalweg.lab.cli.commands; print(sorted({heavy} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.apart
def test_a_budget_cuts_the_trials_and_the_same_again_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(little.FILE)
    monkeypatch.setattr(
        "thalweg.lab.cost.price.measure_milliseconds", lambda task, entries, limit: {e.name: 100.0 for e in entries}
    )
    monkeypatch.setattr("thalweg.lab.cost.price._evaluation", lambda task: 0.0)
    words = (
        "compare",
        f"{tmp_path / 'mine.py'}:task",
        "--optimizers",
        "sgd,adam",
        "--trials",
        "40",
        "--budget",
        "50s",
    )
    words = (*words, "--on", "alone", "--out", str(tmp_path / "cut"))
    # 1.2 s a run by that price, 2 x (trials + 5) runs in nine tenths of 50 s: 13 trials
    code, out, _ = run(*words)
    assert code == 0 and out.startswith("36 runs; ") and "\nabout " in out
    monkeypatch.setattr("thalweg.lab.cost.price._evaluation", lambda task: 1.0)  # measured once: it is not asked again
    code, again, _ = run(*words)
    assert code == 0 and again.startswith("36 runs, 36 of them done before")
    spec = json.loads((tmp_path / "cut" / "spec.json").read_text())
    assert spec["protocol"]["trials"] == 13 and spec["protocol"]["budget"] == 50
    assert "; 13 of the 40 configurations planned of each optimizer were tried, as the budget allowed." in again
    assert "Cut to fit a budget of 50 s" in (tmp_path / "cut" / "result.json").read_text()


def test_a_budget_too_small_says_what_is_lacking_and_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("compare", "digits", "--optimizers", "sgd,adam", "--budget", "0.01s", "--out", str(tmp_path / "s"))
    monkeypatch.setattr(sys, "argv", ["thalweg", *words])
    code, out, error = run(*words)
    head = "thalweg: budget: 0.01 s was not enough for an answer: 0 of 16 runs ended, and no fresh seed of sgd and adam"
    assert code == 2 and error.startswith(head), error
    assert "went by before the first run" in error and error.count("\n") == 1
    assert re.search(r"As fast as here all of it takes about [\d.]+ (s|min)", error)
    again = f"thalweg compare digits --optimizers sgd,adam --budget {error.split('--budget ')[1].split()[0]}"
    assert error.endswith(f"a larger budget goes on there. To go on: {again} --out {tmp_path / 's'}\n")
    assert "of which the budget of 0.01 s leaves 0 s" in out
    for wrong in ("fast", "0", "-3m", "10x", "1h05", "3m1h"):
        code, _, error = run("sweep", "digits", "--optimizer", "sgd", "--budget", wrong)
        assert code == 2 and f"budget: got '{wrong}'; must be a length of time such as 90s, 10m, 1h or 4m30s" in error


@pytest.mark.apart
def test_every_verb_runs_from_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(little.FILE)
    task = f"{tmp_path / 'mine.py'}:task"
    short = ("--epochs", "1", "--on", "alone")
    for verb, words, part in (
        ("sweep", ("--points", "3", "--seeds", "1", "--no-extend"), "ends best"),
        ("tune", ("--trials", "3", "--hyperparameters", "lr,betas", "--finalist-seeds", "2"), "fresh seeds"),
        ("range-test", ("--steps", "40", "--seeds", "1"), "learning rates"),
    ):
        code, out, error = run(verb, task, "--optimizer", "adam", *words, *short, "--out", str(tmp_path / verb))
        assert (code, error) == (0, "") and part in out
        assert "one run at a time" in out and (tmp_path / verb / "report.html").exists()
        code, out, _ = run("report", str(tmp_path / verb))
        assert code == 0 and part in out


def test_tasks_lists_them() -> None:
    code, out, _ = run("tasks")
    assert code == 0 and out.splitlines()[1].startswith("mnist1d ") and "pip install 'thalweg[rl]'" in out


def test_progress_says_something_at_each_tenth_and_every_half_minute(capsys: pytest.CaptureFixture[str]) -> None:
    with Lines(quiet=0.1) as lines:
        lines.tell(Progress(0, 200, 0, seconds_left=90.0, folder=Path("s"), how="one at a time"))
        for done in range(1, 201):
            lines.tell(Progress(done, 200, 0, trial=object(), seconds_left=1.0))  # type: ignore[arg-type]
    out = capsys.readouterr().out.splitlines()
    assert out[:2] == ["200 runs; the study is in s", "about 1 min 30 s, one at a time"]
    assert [line.split()[0] for line in out[2:]] == ["1", "8", *map(str, range(20, 201, 20))]
    with Lines(quiet=0.1) as lines:
        lines.tell(Progress(0, 2, 0))
        time.sleep(0.35)  # one run, and it takes its time
    assert capsys.readouterr().out.splitlines().count("0 of 2 runs") in (2, 3)
    time.sleep(0.15)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("compare dig", ["digits", "digits-cnn"]),
        ("compare digits,qua", ["digits,quartic", "digits,quadratic"]),
        ("compare digits --preset ", ["quick", "standard", "thorough"]),
        ("compare digits --optimizers sgd,sop", []),
        ("compare digits --optimizers sgd,soa", ["sgd,soap"]),
        ("tune digits --optimizer adahe", ["adahessian"]),
        ("tune digits --method t", ["tpe"]),
        ("sweep digits --on la", ["lanes"]),
        ("export studies/one --to la", ["latex"]),
        ("show adahe", ["adahessian"]),
        ("compare ./m", ["./mine.py"]),
        ("report ", ["studies/one", "studies/"]),
        ("lens sadd", ["saddle"]),
    ],
)
def test_tab_completes_what_is_known(
    typed: str, completed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "studies" / "one").mkdir(parents=True)
    (tmp_path / "studies" / "one" / "spec.json").write_text("{}")
    (tmp_path / "mine.py").write_text("")
    words = {"COMP_WORDS": f"thalweg {typed}", "COMP_CWORD": str(typed.count(" ") + 1)}
    asked = CliRunner().invoke(app, [], env={"_THALWEG_COMPLETE": "complete_bash", **words}, prog_name="thalweg")
    assert asked.stdout.split() == completed


def weigh(study: str) -> str:
    """Weigh a study, as a verb of somebody's would."""
    return f"{study}: 42 files"


def test_what_a_new_verb_gives_back_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    _read(weigh, {"study": "s"})
    assert capsys.readouterr().out == "s: 42 files\n"
