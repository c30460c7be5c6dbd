"""Each differing study has a default folder of its own; what has changed is said, with a folder that would do."""

from __future__ import annotations

from pathlib import Path

import little
import own_loops
import pytest

import thalweg
from thalweg.lab.cli.commands import app
from thalweg.lab.errors import StudyError
from thalweg.lab.own_loop.broken_off import AT_WORK
from thalweg.lab.runners import Alone
from thalweg.lab.study.campaign import Campaign
from thalweg.lab.study.command import typed
from thalweg.lab.study.deadline import Deadline
from thalweg.lab.study.store import Study
from thalweg.lab.verbs.status import status


def compared(optimizers, **more):
    return thalweg.compare(little.task(), optimizers, trials=1, finalist_seeds=2, epochs=1, on="alone", **more)


@pytest.mark.apart
def test_the_second_command_of_every_new_user(tmp_path, monkeypatch):
    """It was refused: the folder held another study."""
    monkeypatch.chdir(tmp_path)
    first, second = compared(["sgd"]), compared(["sgd", "adam"])
    assert first.folder == Path("studies/little-quick") and second.folder == Path("studies/little-quick-2")
    assert compared(["sgd", "adam"]).folder == second.folder  # the same again goes on in its own
    assert compared(["sgd"]).folder == first.folder
    more = thalweg.compare(little.task(), ["sgd"], trials=1, finalist_seeds=3, epochs=1, on="alone")
    assert more.folder == first.folder and len(more.trials) == 4  # more fresh seeds are the same study
    assert thalweg.compare(little.task(), ["sgd"], trials=2, finalist_seeds=2, epochs=1, on="alone").folder == Path(
        "studies/little-quick-3"
    )


def test_with_a_folder_named_it_is_said_and_what_would_do(tmp_path):
    compared(["sgd"], out=tmp_path / "study")
    with pytest.raises(
        StudyError, match=r"was asked something else: it compares sgd; you ask for sgd, adam[.] Add --out"
    ) as refused:
        compared(["sgd", "adam"], out=tmp_path / "study")
    assert refused.value.then == ("to keep both", {"--out": str(tmp_path / "study-2")})


def test_another_verb_or_task_is_said_and_the_next_command_once(tmp_path, monkeypatch, capsys):
    out = tmp_path / "study"
    compared(["sgd"], out=out)
    with pytest.raises(StudyError, match="it is by compare; you ask for sweep[.] Add"):
        thalweg.sweep(little.task(), "sgd", epochs=1, on="alone", out=out)
    words = ["compare", "quadratic", "--optimizers", "sgd", "--on", "alone", "--out", str(out)]
    monkeypatch.setattr("sys.argv", ["thalweg", *words])
    with pytest.raises(SystemExit):
        app(words)
    told = " ".join(capsys.readouterr().err.split())
    again = " ".join(words[:-1])
    assert told.endswith(f"else: it is on little; you ask for quadratic. To keep both: thalweg {again} {out}-2")


def test_that_the_data_changed_is_said(tmp_path):
    compared(["sgd"], out=tmp_path / "study")
    other = little.task(train=little.rows(128, 7))
    with pytest.raises(StudyError, match="something else: the task's data changed[.] Add --out"):
        thalweg.compare(other, ["sgd"], trials=1, finalist_seeds=2, epochs=1, on="alone", out=tmp_path / "study")
    wider = little.task(model=lambda: __import__("torch").nn.Linear(2, 2))
    with pytest.raises(StudyError, match="the task's functions and model changed"):
        thalweg.compare(wider, ["sgd"], trials=1, finalist_seeds=2, epochs=1, on="alone", out=tmp_path / "study")


def test_a_status_is_read_while_a_study_is_at_work(tmp_path):
    seen = []

    def look(now):
        if now.trial is not None:
            seen.append(status(tmp_path / "study"))

    thalweg.compare(little.task(), ["sgd", "adam"], trials=2, finalist_seeds=2, epochs=1, on="alone",
                    out=tmp_path / "study", progress=look)  # fmt: skip
    assert all(one.at_work for one in seen)
    assert [len(one.trials) for one in seen] == list(range(1, 9)) and seen[0].planned == 8
    assert "1 of about 8 runs have ended" in seen[0].sentence and "at work" in seen[0].sentence
    after = status(tmp_path / "study")
    assert not after.at_work and "at its end" in after.sentence
    headings, rows = after.cells()
    assert [row[0] for row in rows] == ["sgd", "adam"] and rows[0][headings.index("done")] == "4"
    assert rows[0][headings.index("fresh seeds")] == "2" and "lr" in rows[0][-1]
    status(tmp_path / "study", html=True)
    assert "have ended" in (tmp_path / "study" / "status.html").read_text()
    with pytest.raises(StudyError, match="is not a study but holds 1; name one: .*study"):
        status(tmp_path)


def test_a_study_that_asked_for_the_same_twice_is_at_its_end(tmp_path):
    """A batch size has few values: of the runs that were planned some are one."""
    found = thalweg.tune(little.task(), "sgd", hyperparameters="batch_size", trials=6, method="random", finalists=1,
                         finalist_seeds=1, epochs=1, on="alone", out=tmp_path / "study")  # fmt: skip
    assert len(found.trials) < 8
    assert "at its end" in status(tmp_path / "study").sentence


def test_looking_changes_nothing(tmp_path):
    found = compared(["sgd"], out=tmp_path / "study")
    before = {path: path.read_bytes() for path in found.folder.iterdir()}
    status(found.folder)
    assert {path: path.read_bytes() for path in found.folder.iterdir()} == before
    with Study(found.folder, found.spec, found.versions):
        assert status(found.folder).at_work


def test_a_budget_is_all_the_time_that_is_left(tmp_path):
    found = compared(["sgd"], out=tmp_path / "study")
    with Study(found.folder, found.spec, found.versions) as study:
        Campaign(little.task(), 1, study, Alone(), 10**6, deadline=Deadline(60.0))
        assert 30 < status(found.folder).seconds_left < 60
        Campaign(little.task(), 1, study, Alone(), 10**6)
        assert status(found.folder).seconds_left > 60


def better_each_time(run):
    own_loops.CALLS.append((run.entry.name, run.seed, 0))
    return 1 / len(own_loops.CALLS)  # so that more trials have other finalists


def test_an_extended_study_counts_the_finalists_it_had(tmp_path):
    own_loops.CALLS.clear()
    for trials in (2, 4):
        told = []
        found = thalweg.tune(better_each_time, "sgd", direction="min", trials=trials, finalist_seeds=2, method="random",
                             out=tmp_path / "study", progress=told.append)  # fmt: skip
    assert all(now.done <= now.total for now in told) and told[-1].done == told[-1].total == len(found.trials) > 8
    assert status(found.folder).far == f"{told[-1].done} of about {told[-1].done} runs"


def interrupted(run):
    own_loops.CALLS.append(((run.folder / AT_WORK).read_text(), run.seed, 0))
    raise KeyboardInterrupt


def test_a_run_that_may_have_ended_the_studys_process_is_named(tmp_path):
    """A crash of native code ends all: the same command would go on into the same crash, and say nothing."""
    told = []

    def start():
        with typed(["tune", "x.py:train"]), pytest.raises(KeyboardInterrupt):
            thalweg.tune(interrupted, "sgd", direction="min", trials=1, finalist_seeds=1, out=tmp_path / "study",
                         progress=told.append)  # fmt: skip

    start()
    assert "processes" not in str(status(tmp_path / "study"))  # it was not a crash
    [folder] = (tmp_path / "study" / "runs").iterdir()
    (folder / AT_WORK).write_text(own_loops.CALLS[-1][0])
    said = f"process ended within {folder.name}; if the run ended it, let each run have a process of its own"
    assert f"The study's {said}: thalweg tune x.py:train --on processes" in str(status(tmp_path / "study"))
    start()
    assert said in told[-1].said
