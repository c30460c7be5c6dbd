"""How the laws are run: apart from this process, on a name or a class; the report; the command."""

from __future__ import annotations

import json
import sys

import faulty
import pytest
import right
import torch
from typer.testing import CliRunner

import thalweg
from thalweg.catalogue import listed
from thalweg.conformance.arguments import settings
from thalweg.conformance.errors import RefusedError
from thalweg.conformance.law import LAWS
from thalweg.conformance.report import BREAKS, HOLDS, NOT_APPLICABLE
from thalweg.conformance.run import try_laws
from thalweg.lab.cli.commands import app

AROUND = ["no_gradient", "zero_length", "maximize"]


def statuses(report):
    return {outcome.law: outcome.status for outcome in report.outcomes}


@pytest.mark.apart
def test_a_crash_and_a_hang_break_their_laws_and_no_other():
    report = try_laws(faulty.Deadly, {}, laws=[*AROUND, "zero_dimensions"], time_limit=3)
    kept, ended = dict.fromkeys(["no_gradient", "maximize"], HOLDS), ["zero_length", "zero_dimensions"]
    assert statuses(report) == {**kept, **dict.fromkeys(ended, BREAKS)}
    assert "the process ended (SIGSEGV)" in report.breaks[0].evidence
    assert "no end within 3 s" in report.breaks[1].evidence
    assert report.notes == ()


def test_what_a_law_sees_in_its_own_closure_is_not_taken_for_an_error_of_the_optimizer():
    report = try_laws(faulty.NoGradInClosure, {}, laws=["closure"], apart=False)
    assert report.breaks[0].evidence.startswith("seen: the closure runs without gradients")


def test_one_that_asks_for_train_mode_is_put_into_it():
    report = try_laws(faulty.Modal, {}, laws=["steps", "resumed_run"], apart=False)
    assert report.breaks == [] and len(report.holds) == 2


@pytest.mark.apart
def test_one_that_cannot_be_stepped_is_told_once():
    """A process that ends in the very first step is not started again for every law."""
    report = try_laws(faulty.Dying, {}, laws=["steps", *AROUND])
    assert statuses(report) == {"steps": BREAKS, **dict.fromkeys(AROUND, NOT_APPLICABLE)}
    assert "exit code 3" in report.breaks[0].evidence


@pytest.mark.apart
def test_apart_and_here_say_the_same():
    laws = ["nan_lr", "the_same_run_twice", "gradients_are_left_alone", "sliced_parameters"]
    chosen = {"momentum": 0.9, "nesterov": True}
    apart, here = (try_laws(torch.optim.SGD, chosen, laws=laws, apart=apart) for apart in (True, False))
    assert apart == here and len(apart.outcomes) == 12


def test_a_class_that_cannot_travel_is_tried_here_and_the_report_says_so():
    class Local(right.Right):
        pass

    report = try_laws(Local, {}, laws=["steps"])
    assert report.breaks == [] and "in this process" in report.notes[0] and "in this process" in str(report)


def test_the_public_function_takes_settings_as_keywords():
    report = thalweg.conform(torch.optim.RMSprop, laws=["nan-lr", "negative_lr"], apart=False, centered=True)
    assert [outcome.law for outcome in report.outcomes] == ["negative_lr", "nan_lr"] * 2
    assert (report.settings, report.variants) == ("centered=True", ("foreach=False", "foreach=True"))


def test_a_rule_of_the_catalogue_is_tried_with_the_settings_that_make_it():
    assert try_laws("sgd", {}, laws=["steps"], apart=False).breaks == []
    entry = listed("rmsprop_centred")
    report = try_laws(entry.name, {"alpha": 0.9}, laws=["steps"], apart=False)
    assert report.subject == entry.name and report.settings == "centered=True, alpha=0.9"
    with pytest.raises(ValueError, match="got 'rmsprpo'; did you mean 'rmsprop'[?] It must be a name from"):
        try_laws("rmsprpo", {})


class Rated(torch.optim.SGD):
    def __init__(self, params, lr):
        super().__init__(params, lr=lr)


class Wanting(torch.optim.SGD):
    def __init__(self, params, lr, model):
        super().__init__(params, lr=lr)


def test_a_required_lr_is_given_and_anything_else_is_asked_for():
    assert try_laws(Rated, {}, laws=["steps"], apart=False).settings == "lr=0.01"
    with pytest.raises(ValueError, match="Wanting must be given model"):
        try_laws(Wanting, {}, laws=["steps"], apart=False)


def test_the_callers_world_is_left_as_it_was():
    torch.manual_seed(3)
    before = torch.random.get_rng_state(), torch.get_num_threads(), torch.get_default_dtype()
    laws = [law.name for law in LAWS if law.theme in ("determinism", "dtypes", "calling")]
    try_laws(torch.optim.Adam, {"foreach": False}, laws=laws, apart=False)
    after = torch.random.get_rng_state(), torch.get_num_threads(), torch.get_default_dtype()
    assert torch.equal(before[0], after[0]) and before[1:] == after[1:]
    assert not torch.are_deterministic_algorithms_enabled()


def test_the_report_in_words_and_as_json(tmp_path):
    report = try_laws(
        torch.optim.SGD, {"momentum": 0.9}, laws=["late_gradients", "nan_lr", "complex_numbers"], apart=False
    )
    text = str(report).splitlines()
    assert text[0] == f"torch.optim.sgd.SGD(momentum=0.9), torch {torch.__version__.partition('+')[0]}"
    assert text[1:3] == ["3 laws: 1 hold, 2 break, 0 do not apply", "each on foreach=False | foreach=True | fused=True"]
    assert [line for line in text if line.isupper()] == ["BREAKS", "DOES NOT APPLY", "HOLDS"]
    assert "      seen: lr=nan is silently accepted; expected: an error" in text
    assert "      [fused=True] momentum=0.9" not in str(report)  # given, so no mode
    assert "      [fused=True] raises TypeError" in str(report)
    local = try_laws(
        torch.optim.LBFGS, {}, laws=["maximize", "weight_decay", "odd_sizes", "a_split_tensor"], apart=False
    )
    assert "  odd_sizes, a_split_tensor: an element's step depends on its whole tensor" in str(local).splitlines()
    report.write(tmp_path / "report.json")
    read = json.loads((tmp_path / "report.json").read_text())
    assert read == json.loads(json.dumps(report.to_dict())) and len(read["outcomes"]) == 9
    assert {outcome["status"] for outcome in read["outcomes"]} == {HOLDS, BREAKS, NOT_APPLICABLE}


def test_settings_are_literals_or_words():
    typed = ["lr=0.1", "betas=(0.9, 0.99)", "nesterov=True", "adjust_lr_fn=original"]
    assert settings(typed) == {"lr": 0.1, "betas": (0.9, 0.99), "nesterov": True, "adjust_lr_fn": "original"}


# -- the command ----------------------------------------------------------------------------------------------------


def run(*words):
    result = CliRunner().invoke(app, ["conform", *words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.apart
def test_the_command_prints_the_report_and_exits_1_where_a_law_breaks(tmp_path):
    out = tmp_path / "report.json"
    words = ("torch.optim.SGD", "--set", "momentum=0.9", "--set", "foreach=False", "--json", str(out))
    code, printed, error = run(*words, "--laws", "nan_lr,negative-lr")
    assert (code, error) == (1, "") and "BREAKS" in printed and "momentum=0.9" in printed
    assert [outcome["status"] for outcome in json.loads(out.read_text())["outcomes"]] == [HOLDS, BREAKS]
    code, printed, _ = run(*words, "--laws", "negative_lr")
    assert code == 0 and "BREAKS" not in printed


@pytest.mark.apart
def test_a_class_in_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "my_own_rule.py").write_text("import torch\nclass Mine(torch.optim.SGD):\n    pass\n")
    code, printed, _ = run(f"{tmp_path / 'my_own_rule.py'}:Mine", "--laws", "steps", "--set", "foreach=False")
    assert code == 0 and "it takes nothing but a gradient" in printed


def test_the_list():
    code, printed, _ = run("--list")
    assert code == 0
    for law in LAWS:
        assert any(line.split()[:1] == [law.name] and line.endswith(law.meaning) for line in printed.splitlines())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "optimizer: got ''; must be a name from `thalweg rules`, package.module.Class"),
        (("torch.optim.RMSProp",), "torch.optim has no 'RMSProp'; did you mean 'RMSprop'?"),
        (("torch.nn.Linear",), "must be a subclass of torch.optim.Optimizer"),
        (("no_such_package.Adam",), "No module named 'no_such_package'"),
        (("nowhere.py:Adam",), "no file nowhere.py"),
        (("torch.optim.SGD", "--set", "momentum"), "set: got 'momentum'; must be NAME=VALUE"),
        (("torch.optim.SGD", "--set", "moment=1"), "cannot be made"),
        (("torch.optim.SGD", "--laws", "nan_rl"), "laws: got 'nan_rl'; did you mean 'nan_lr'?"),
        (("torch.optim.SGD", "--time-limit", "0"), "time_limit: got 0.0; must be"),
        (("torch.optim.SGD", "--json", "/nowhere/at/all"), "json: no folder /nowhere/at"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(words, message):
    code, out, error = run(*words)
    assert code == 2 and out == ""
    assert message in error and error.count("\n") == 1 and error.startswith("thalweg: ")


@pytest.mark.parametrize(
    ("error", "clear"),
    [(type("NegativeLRError", (Exception,), {})("lr must be positive"), True), (KeyError("lr"), False),
     (ValueError("lr"), True), (ValueError(), False), (AssertionError(), False), (IndexError("out of range"), False)],
    ids=repr,
)  # fmt: skip
def test_a_librarys_own_error_with_a_message_is_a_clear_refusal(error, clear):
    assert RefusedError(error).clear is clear


@pytest.mark.apart
def test_a_law_that_was_late_is_tried_once_more(tmp_path, monkeypatch):
    """As after a compilation, which a cache shortens."""
    file = tmp_path / "slow_once.py"
    mark = tmp_path / "compiled"
    file.write_text(
        "import pathlib, time, torch\n"
        "class Slow(torch.optim.SGD):\n"
        "    def step(self, closure=None):\n"
        f"        mark = pathlib.Path({str(mark)!r})\n"
        "        if not mark.exists():\n"
        "            mark.touch()\n"
        "            time.sleep(60)\n"
        "        return super().step(closure)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    report = try_laws("slow_once:Slow", {"foreach": False}, laws=["zero_gradients"], time_limit=3)
    assert [outcome.law for outcome in report.holds] == ["zero_gradients"], str(report)
