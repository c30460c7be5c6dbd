"""A password in an address is in no file of a study, in no message, in no report."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import little
import optuna
import pytest
import torch
from typer.testing import CliRunner

from thalweg.lab import passwords
from thalweg.lab.cli import verbs
from thalweg.lab.cli.commands import app
from thalweg.lab.errors import LabError
from thalweg.lab.passwords import without_passwords
from thalweg.lab.runners import choice, ray
from thalweg.lab.verbs.export import export
from thalweg.lab.verbs.sweep import sweep
from thalweg.lab.verbs.tune import tune

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (f"postgresql://me:{SECRET}@host:5432/db:study", "postgresql://me:***@host:5432/db:study"),
        (f"redis://:{SECRET}@host/0", "redis://:***@host/0"),
        (f"mysql+pymysql://me:a@b/{SECRET}@host/db", "mysql+pymysql://me:***@host/db"),
        (f"x://host/db?user=me&Password={SECRET}&a=1", "x://host/db?user=me&Password=***&a=1"),
        (f"https://host?api_key={SECRET}", "https://host?api_key=***"),
        (f"https://host?key={SECRET}", "https://host?key=***"),
        (f"x://h/db?options=-c%20password%3D{SECRET}", "x://h/db?options=-c%20password%3D***"),
        (f"host=h password = {SECRET} user=me", "host=h password = *** user=me"),
        (f"{{'user': 'me', 'password': '{SECRET}'}}", "{'user': 'me', 'password': '***'}"),
        ("sqlite:////tmp/x.db:study", "sqlite:////tmp/x.db:study"),
        ("ray:10.0.0.1:6379 and http://host:80/", "ray:10.0.0.1:6379 and http://host:80/"),
    ],
)
def test_what_is_left_of_an_address(text: str, masked: str) -> None:
    assert without_passwords(text) == masked
    assert str(LabError(f"on: {text} is wrong")) == f"on: {masked} is wrong"


@pytest.mark.parametrize(
    ("address", "told", "masked"),
    [
        ('postgresql://u:it\'s a "w0rd"@h/x:study', 'cannot reach it\'s a "w0rd"@h', "cannot reach ***@h"),
        ("sqlite:///ok.db?password=hun'ter 3:a", "sqlite:///ok.db?password=hun'ter 3", "sqlite:///ok.db?password=***"),
        ("me:pa'sw0rd@host:6379", "me:pa'sw0rd@host:6379", "me:***@host:6379"),
        (
            "redis://:a'@host/0",
            "redis://:a'@host/0 is a's",
            "redis://:***@host/0 is a's",
        ),  # a short one, in its place alone
    ],
)
def test_a_password_of_any_letters_in_an_address_that_was_given(
    address: str, told: str, masked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "_known", set())
    passwords.remember(address)
    assert without_passwords(told) == masked


@pytest.mark.apart
def test_a_quote_in_a_password_is_in_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_known", set())
    secret = "hun'ter2"
    storage = f"sqlite:///{tmp_path / 'to.db'}?password={secret}"
    words = (
        f"sweep quadratic --optimizers sgd --points 2 --seeds 1 --on alone --out {tmp_path / 's'} --to-optuna".split()
    )
    monkeypatch.setattr(sys, "argv", ["thalweg", *words, storage])
    done = CliRunner().invoke(app, sys.argv[1:])
    assert done.exit_code == 0, done.output
    assert "command.json" in {path.name for path in (tmp_path / "s").iterdir()}
    assert secret not in files(tmp_path / "s") + done.output and "ter2" not in files(tmp_path / "s")


class Telling(torch.optim.SGD):
    def step(self, closure: Any = None) -> Any:
        raise ConnectionError(f"cannot reach https://me:{SECRET}@tracker/run")


def files(folder: Path) -> str:
    return "\n".join(
        p.read_bytes().decode("latin-1") for p in folder.rglob("*") if p.is_file() and p.name != "known.db"
    )


def test_known_points_of_a_storage_with_a_password(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'known.db'}?password={SECRET}"  # SQLite takes no password: it is read past
    known = optuna.create_study(storage=f"sqlite:///{tmp_path / 'known.db'}", study_name="before")
    known.add_trial(
        optuna.trial.create_trial(
            params={"lr": 0.1}, distributions={"lr": optuna.distributions.FloatDistribution(1e-4, 1)}, value=0.5
        )
    )
    asked: dict[str, Any] = {"hyperparameters": "lr", "method": "tpe", "trials": 2, "finalist_seeds": 2, "on": "alone"}
    for _ in range(2):  # rerun the same call to resume: the password is no part of the study
        found = tune(
            little.task(metric="loss", epochs=1), "sgd", from_optuna=f"{storage}:before", out=tmp_path / "s", **asked
        )
    assert "password=***" in files(tmp_path / "s")
    assert SECRET not in files(tmp_path / "s") + str(found) + "\n".join(found.notes)


def test_what_a_run_says_as_it_fails(tmp_path: Path) -> None:
    found = sweep(little.task(), [Telling, "sgd"], points=2, seeds=1, extend=False, on="alone", out=tmp_path / "s")
    export(found.folder, "optuna")
    export(found.folder, "tensorboard")
    assert "me:***@tracker" in files(tmp_path / "s") and SECRET not in files(tmp_path / "s")


@pytest.mark.parametrize(
    "words",
    [
        ("tune", "digits", "--optimizer", "sgd", "--from-optuna", f"nosuch://me:{SECRET}@host/db:s"),
        ("tune", "digits", "--optimizer", "sgd", "--to-optuna", f"nosuch://me:{SECRET}@host/db", "--on", "alone"),
        ("compare", "digits", "--on", f"rai://me:{SECRET}@host"),
        ("export", "no-such-folder", "--to", f"https://me:{SECRET}@host"),
    ],
)
def test_errors_have_no_password(words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == 2 and "***@host" in result.stderr and SECRET not in result.output + result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.apart
def test_a_cluster_with_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []

    class Here(ray.Ray):
        def start(self) -> None:
            asked.append(self.address)

        def run(self, task: Any, jobs: Any) -> Any:
            return self.inner.run(task, jobs)

    monkeypatch.setattr(choice, "Ray", Here)
    monkeypatch.setattr(choice, "reach", lambda address: None)
    address = f"ray://me:{SECRET}@host:10001"
    for seeds in (1, 2):
        found = sweep(
            little.task(), "sgd", points=2, seeds=seeds, extend=False, on=f"ray:{address}", out=tmp_path / "s"
        )
    assert asked == [address] and SECRET not in files(tmp_path / "s") + "".join(found.notes)


def test_ctrl_c_says_how_to_go_on_without_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["thalweg", "tune", "--from-optuna", f"x://me:{SECRET}@host/db:s"])

    def stopped(progress: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(verbs.typer.Exit):
        verbs._train(stopped, {"tensorboard": False, "wandb": False, "json": False})
    assert re.search(r"x://me:\*\*\*@host", capsys.readouterr().out)


@pytest.mark.apart
def test_a_storage_that_cannot_be_written_is_tried_before_the_study(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(little.FILE)
    (tmp_path / "text.db").write_text("no database, and long enough to be seen as none" * 20)
    for storage in ("sqlite:////no/such/folder/x.db", "sqlite:///text.db", "nonsense"):
        words = ("tune", "mine.py", "--optimizer", "sgd", "--trials", "2", "--to-optuna", storage)
        result = CliRunner().invoke(app, list(words))
        assert result.exit_code == 2 and result.stderr.startswith("thalweg: to_optuna: "), result.exception
        assert result.stderr.count("\n") == 1 and not (tmp_path / "studies").exists()
    result = CliRunner().invoke(app, [*words[:-1], "sqlite:///good.db"])
    assert result.exit_code == 0, result.stderr
    assert [study.study_name for study in optuna.get_all_study_summaries("sqlite:///good.db")] == ["mine-tune-sgd"]
