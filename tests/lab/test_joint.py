"""One verdict over several tasks: its statistics by hand and by simulation, its words, its files."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import little
import numpy as np
import pytest
from made_up import World, trial
from scipy import stats

from thalweg.lab.arguments import seconds
from thalweg.lab.cli.commands import app
from thalweg.lab.cli.screen import fitting, roomy
from thalweg.lab.errors import LabError, StudyError
from thalweg.lab.judging.joint import build_joint_table
from thalweg.lab.judging.rows import Table, build_table
from thalweg.lab.judging.wording.joint import joint_verdict
from thalweg.lab.random.seeds import FRESH
from thalweg.lab.results import Comparison, JointComparison, read_answer
from thalweg.lab.results.joint_status import JointStatus
from thalweg.lab.study.campaign import Progress
from thalweg.lab.study.command import keep_command, keep_typed, to_record, to_resume, typed
from thalweg.lab.verbs.compare import compare
from thalweg.lab.verbs.export import export
from thalweg.lab.verbs.status import status
from thalweg.lab.verbs.sweep import sweep


def table(values: dict[str, list[float]], margin: float = 0.01, larger: bool = True, **failed: int) -> Table:
    """A study without a search: each optimizer's fresh seeds end at these values, validation and test alike."""
    trials = []
    for name, mine in values.items():
        trials.append(trial(name, 0, 0, mine[0]))
        for index, value in enumerate(mine):
            ended: dict[str, Any] = {"status": "diverged", "test_metric": None} if index < failed.get(name, 0) else {}
            trials.append(trial(name, 0, FRESH + index, value, value, test_loss=value + len(name), **ended))
    return build_table(trials, list(values), larger, margin, 0.05)


ONE = {"a": [0.90, 0.92, 0.94], "b": [0.89, 0.90, 0.91]}
OTHER = {"a": [1.0, 1.2, 1.1], "b": [1.3, 1.4, 1.7]}


def test_the_difference_is_the_mean_over_tasks_in_their_margins() -> None:
    judged = build_joint_table({"one": table(ONE), "loss": table(OTHER, margin=0.1, larger=False)})
    assert [row.optimizer for row in judged.rows] == ["a", "b"] and judged.weights == {"one": 1.0, "loss": 1.0}
    first, second = np.array([-1.0, -2.0, -3.0]), np.array([-3.0, -2.0, -6.0])  # in margins, seed by seed
    gap = judged.rows[1].judgement.difference
    assert gap.mean == pytest.approx((first.mean() + second.mean()) / 2) and gap.n == 6
    squares = np.array([first.var(ddof=1) / 3, second.var(ddof=1) / 3])
    freedom = squares.sum() ** 2 / (squares**2 / 2).sum()
    assert gap.half == pytest.approx(stats.t.ppf(0.975, freedom) * math.sqrt(squares.sum()) / 2)
    assert judged.rows[1].over_tasks.half == pytest.approx(stats.t.ppf(0.975, 1) * abs(2 - 11 / 3) / 2)
    assert judged.rows[1].differences["one"].mean == pytest.approx(-2.0)


def test_a_task_of_far_differences_has_less_weight_and_keeps_its_test() -> None:
    far = {"a": [10.0, 10.1, 10.2], "b": [0.0, 0.2, 0.1]}
    judged = build_joint_table({"far": table(far), "near": table(ONE)})
    assert judged.weights["near"] == 1.0
    assert judged.weights["far"] == pytest.approx(0.01 / (10.0 / 10))  # ten weighted margins between the two
    alone = build_joint_table({"far": table(far)}).rows[1].judgement
    one = table(far).rows[1].judgement
    assert alone.p_differs == pytest.approx(one.p_differs) and alone.difference.mean == pytest.approx(-1000, rel=0.01)


def test_a_margin_of_nothing_divides_by_nothing() -> None:
    perfect = build_joint_table({"t": table({"a": [0.0, 0.0, 0.0], "b": [0.0, 0.1, 0.2]}, margin=0.0, larger=False)})
    assert math.isfinite(perfect.rows[1].judgement.difference.mean)


def test_one_failed_seed_on_one_task_is_ranked_last_and_not_judged() -> None:
    better = {"a": [0.90, 0.92, 0.94], "b": [0.99, 0.99, 0.99], "c": [0.8, 0.81, 0.83]}
    judged = build_joint_table({"one": table(better), "two": table(better, b=1)})
    assert [row.optimizer for row in judged.rows] == ["a", "c", "b"] and judged.rows[2].judgement is None
    assert "not judged: b (failed on two)" in joint_verdict(judged)
    assert joint_verdict(build_joint_table({"one": table(ONE, a=1, b=2)})).startswith("No answer for 1 tasks (one)")


def test_what_a_task_lacks_is_said() -> None:
    judged = build_joint_table({"one": table({**ONE, "c": [0.5, 0.5, 0.6]}), "two": table(ONE)})
    assert judged.rows[-1].missing == ("two",)
    assert "not judged: c (not run on two)" in joint_verdict(judged)


def test_worse_on_the_whole_though_better_on_one_is_told() -> None:
    up = {"a": [0.90, 0.91, 0.905], "b": [0.92, 0.931, 0.925]}
    down = {"a": [0.90, 0.91, 0.905], "b": [0.80, 0.81, 0.806]}
    said = joint_verdict(build_joint_table({"up": table(up), "down": table(down), "down again": table(down)}))
    assert said.startswith("a leads over 3 tasks (up, down and down again); worse: b (-6.0 ")
    assert "margins, though better on up)" in said


@pytest.mark.parametrize("margins", [(0.5, 0.5, 0.5), (0.01, 0.5, 1.0)])
def test_copies_are_seldom_told_apart_over_three_tasks(margins: tuple[float, ...]) -> None:
    random, told, studies = np.random.default_rng(1), 0, 150
    worlds = [World([0.0, 0.0], 3, points=7, finalists=1, margin=margin) for margin in margins]
    for _ in range(studies):
        judged = build_joint_table({str(index): world.study(random) for index, world in enumerate(worlds)})
        told += judged.rows[1].judgement.verdict in ("better", "worse")
    print(f"two copies over three tasks, told apart in {told / studies:.1%}")
    assert told / studies <= 0.05 + 2 * (0.05 * 0.95 / studies) ** 0.5


def test_more_tasks_find_what_one_cannot() -> None:
    random, found = np.random.default_rng(2), {}
    for count in (1, 4):
        worlds = [World([0.0, -2.0], 3, points=7, finalists=1) for _ in range(count)]
        tables = [build_joint_table({str(i): w.study(random) for i, w in enumerate(worlds)}) for _ in range(40)]
        found[count] = sum(t.rows[1].judgement.verdict == "worse" for t in tables) / len(tables)
    assert found[4] > 0.9 > found[1]


def two_tasks() -> list[Any]:
    return [replace(little.task(), name=name) for name in ("near", "far_off")]


@pytest.fixture(scope="module")
def joint(tmp_path_factory: pytest.TempPathFactory) -> JointComparison:
    folder = tmp_path_factory.mktemp("joint")
    found = compare(two_tasks(), ["sgd", "adam"], trials=3, out=folder, on="alone")
    assert isinstance(found, JointComparison)
    return found


@pytest.mark.apart
def test_the_same_call_trains_nothing_again(joint: JointComparison) -> None:
    before = {name: (study.folder / "trials.jsonl").read_bytes() for name, study in joint.studies.items()}
    again = compare(two_tasks(), ["sgd", "adam"], trials=3, out=joint.folder, on="alone")
    assert str(again) == str(joint)
    assert before == {name: (study.folder / "trials.jsonl").read_bytes() for name, study in joint.studies.items()}


def test_one_name_twice_and_no_task_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="task: got 'quadratic' twice; must be tasks of different names"):
        compare("quadratic,quadratic", "sgd", out=tmp_path / "s")
    with pytest.raises(LabError, match="task: got ''; must be a task"):
        compare("", "sgd", out=tmp_path / "s")
    assert not (tmp_path / "s").exists()


@pytest.mark.apart
def test_the_command_tells_it_as_json_too(joint: JointComparison, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        app(["report", str(joint.folder)])
    told = capsys.readouterr().out
    assert joint.verdict in told and f"tables for a paper: {joint.folder / 'table.tex'}, table.csv" in told
    with pytest.raises(SystemExit):
        app(["report", str(joint.folder), "--json"])
    parsed = json.loads(capsys.readouterr().out)
    assert parsed["verdict"] == joint.verdict and len(parsed["table"]) == 2


@pytest.mark.parametrize(("to", "name"), [("latex", "table.tex"), ("csv", "table.csv")])
def test_a_table_is_exported_of_one_study_and_of_several(joint: JointComparison, to: str, name: str) -> None:
    (joint.folder / name).unlink()
    assert export(joint.folder, to) == joint.folder / name and (joint.folder / name).read_text()
    assert export(joint.studies["near"].folder, to, joint.folder / f"one.{to}").read_text().count("sgd") >= 1


def test_a_terminal_shows_the_columns_that_fit() -> None:
    rows = [["adam", "0.001", "97.2 % ± 0.6", "leads"], ["schedule_free_adamw", "0.002", "97 % ± 1.0", "worse"]]
    headings = ["optimizer", "lr", "test accuracy", "verdict"]
    shown = [fitting(headings, rows, width) for width in (200, 50, 49, 41, 35, 34, 1)]
    assert shown == [[0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 3], [0, 1, 3], [0, 1, 3], [0, 3], [0, 3]]
    assert fitting(["task", "lr", "steps"], [["a", "0.1", "100"]], 1) == [0, 1]
    told = [
        ["adam", "Adam, with the correction of its bias", "0.001", "1e-4 to 1", "Kingma and Ba 2015, arXiv:1412.6980"]
    ]
    wide = [
        roomy(["name", "what it is", "lr", "searched", "source"], told, width, prose=1) for width in (120, 80, 55, 1)
    ]
    assert wide == [5, 4, 3, 2]


def test_it_is_read_from_its_folder(joint: JointComparison) -> None:
    again = read_answer(joint.folder)
    assert str(again) == str(joint) and again.to_csv() == joint.to_csv()
    assert joint.verdict in str(joint) and joint.line.count("\n") == 1
    assert json.loads((joint.folder / "result.json").read_text())["verdict"] == joint.verdict
    assert (joint.folder / "table.csv").read_text().startswith("rank,optimizer,verdict,difference,difference_low,")


def test_its_latex_is_escaped(joint: JointComparison) -> None:
    text = (joint.folder / "table.tex").read_text()
    assert r"far\_off: test accuracy" in text and r"\% $\pm$" in text
    assert text.count(r"\\") == 1 + len(joint.rows) and text.count("{") == text.count("}")


def test_its_report_shows_every_task_and_leads_to_its_own(joint: JointComparison) -> None:
    text = (joint.folder / "report.html").read_text()
    assert 'href="near/report.html"' in text and 'href="far_off/report.html"' in text
    assert 'id="figure-joint-forest"' in text and all(row.optimizer in text for row in joint.rows)


@pytest.mark.parametrize("inner", ["..", "a/b", "", 3])
def test_a_folder_that_points_outside_is_refused(inner: Any, tmp_path: Path) -> None:
    (tmp_path / "tasks.json").write_text(json.dumps({"tasks": {"near": inner}}))
    with pytest.raises(StudyError, match="must be the name of a subfolder"):
        read_answer(tmp_path)


def test_a_study_that_is_missing_is_named(joint: JointComparison, tmp_path: Path) -> None:
    (tmp_path / "tasks.json").write_text(json.dumps({"tasks": {"near": "near"}}))
    with pytest.raises(StudyError, match="near"):
        read_answer(tmp_path)
    assert isinstance(joint.studies["near"], Comparison)


def stopped_at_the_second(folder: Path) -> None:
    def stop(now: Progress) -> None:
        if now.folder.name == "far_off" and now.trial is not None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare([*two_tasks(), replace(little.task(), name="last")], ["sgd"], trials=1, finalist_seeds=2, epochs=1,
                out=folder, on="alone", progress=stop)  # fmt: skip


def test_one_that_was_stopped_says_what_is_there_what_is_missing_and_what_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It had no status and no report: tasks.json was written at the end alone."""
    folder = tmp_path / "study"
    stopped_at_the_second(folder)
    keep_command(folder, ["compare", "near,far_off,last", "--out", str(folder)])
    found = status(folder)
    assert isinstance(found, JointStatus) and not found.at_work and not found.over
    assert [row[::2] for row in found.cells()[1]] == [["near", "done"], ["far_off", "stopped"], ["last", "not begun"]]
    again = f"o resume: thalweg compare near,far_off,last --out {folder}"
    with pytest.raises(SystemExit):
        app(["status", str(folder), "--html"])
    assert (
        capsys.readouterr().out.endswith(f"compare on 3 tasks: near is done; nobody is working on it.\nT{again}\n")
        and "not begun" in (folder / "status.html").read_text()
    )
    with pytest.raises(SystemExit):
        app(["report", str(folder)])
    said = " ".join(capsys.readouterr().err.split())
    assert "is unfinished: far_off: no fresh seed of sgd has been trained; last: has not begun; done: " in said
    assert said.endswith(f"{folder / 'near'}; t{again}")


def test_one_that_was_stopped_before_its_first_run_has_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("thalweg.lab.study.session.runner_of", stop)  # as lanes are tried out
    with pytest.raises(KeyboardInterrupt), typed(["compare", "near,far_off"]):
        compare(two_tasks(), ["sgd"], out=tmp_path / "s", on="alone")
    assert str(status(tmp_path / "s")).endswith("To resume: thalweg compare near,far_off")
    found = status(tmp_path / "s")
    assert isinstance(found, JointStatus)
    told = found.to_dict()
    assert told["resume"] == "to resume: thalweg compare near,far_off" and told["tasks"]["far_off"] is None
    assert told["tasks"]["near"]["ended"] == 0 and told["tasks"]["near"]["optimizers"]["sgd"]["best"] is None


def test_a_status_is_told_as_json(joint: JointComparison, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        app(["status", str(joint.folder), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["over"] and list(told["tasks"]) == ["near", "far_off"]
    assert told["tasks"]["near"]["optimizers"]["sgd"]["best"] > 0 and told["tasks"]["near"]["runs"] == {
        "done": told["tasks"]["near"]["ended"]
    }


def test_what_is_refused_before_anything_runs_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="preset"):
        compare(two_tasks(), ["sgd"], "fast", out=tmp_path / "study")
    assert not (tmp_path / "study").exists()


def test_another_question_and_a_larger_budget_have_the_command_of_all_tasks(
    joint: JointComparison, tmp_path: Path
) -> None:
    with pytest.raises(StudyError, match="was asked something else") as refused:
        compare(two_tasks(), ["sgd"], trials=3, out=joint.folder, on="alone")
    assert refused.value.then == ("to keep both", {"--out": f"{joint.folder}-2"})
    assert f"Add --out {joint.folder}-2 to keep both" in str(refused.value)
    with pytest.raises(LabError, match="was not enough for an answer") as short:
        compare(two_tasks(), ["sgd"], budget=0.01, out=tmp_path / "study", on="alone")
    assert short.value.then is not None and short.value.then[1]["--out"] == str(tmp_path / "study")
    assert seconds("budget", short.value.then[1]["--budget"]) >= 60  # twice that of one task


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("verb", [compare, sweep])
def test_a_study_of_one_task_leaves_a_joint_one_alone(joint: JointComparison, verb: Any) -> None:
    """It wrote its spec, its report and its command over theirs, and then the joint command was refused for good."""
    before = contents(joint.folder)
    with pytest.raises(StudyError, match="holds a comparison over several tasks") as refused:
        verb(two_tasks()[0], "sgd", out=joint.folder, on="alone")
    assert refused.value.then == ("to keep both", {"--out": f"{joint.folder}-2"})
    assert contents(joint.folder) == before


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["near", "other"], "is a comparison over near, far_off; you ask for near, other. Add --out"),
        (["near", "far_off", "other"], "was asked something else"),  # by the optimizers
        (["far_off", "near"], "was asked something else"),
    ],
)
def test_a_joint_study_that_is_refused_is_not_written_to(
    joint: JointComparison, names: list[str], message: str
) -> None:
    before = contents(joint.folder)
    with pytest.raises(StudyError, match=message) as refused:
        tasks = [replace(little.task(), name=name) for name in names]
        compare(tasks, ["sgd", "lion"], trials=3, out=joint.folder, on="alone")
    assert refused.value.then == ("to keep both", {"--out": f"{joint.folder}-2"})
    assert contents(joint.folder) == before


@pytest.mark.apart
def test_tasks_are_added_to_those_that_are_there(tmp_path: Path) -> None:
    few: Any = {"trials": 1, "finalist_seeds": 2, "epochs": 1, "out": tmp_path / "s", "on": "alone"}
    near, far = two_tasks()
    compare([near, far], ["sgd"], **few)
    more = compare([replace(little.task(), name="last"), far, near], ["sgd"], **few)
    assert list(more.studies) == ["near", "far_off", "last"] == list(read_answer(tmp_path / "s").studies)
    assert list(json.loads((tmp_path / "s" / "tasks.json").read_text())["tasks"]) == ["near", "far_off", "last"]


def test_the_command_is_kept_beside_the_study_and_beside_all(
    joint: JointComparison, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = ["compare", "near,far_off", "--to-optuna", "mysql://me:secret@host/db"]
    keep_typed(joint.studies["near"].folder)  # nobody typed anything
    assert to_resume(joint.folder) == "rerun its command to resume"
    with typed(words):
        keep_typed(joint.studies["near"].folder)
    for folder in (joint.folder, joint.studies["near"].folder):
        assert to_resume(folder) == "to resume: thalweg compare near,far_off --to-optuna 'mysql://me:***@host/db'"
    assert to_record(joint.folder).startswith("to record it: thalweg compare") and "--record" in to_record(joint.folder)
    monkeypatch.chdir(tmp_path)
    assert to_record(tmp_path) == "rerun its command with --record"
    assert to_resume(joint.folder).startswith("to resume (in /")
