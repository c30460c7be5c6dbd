"""The checkpoint door: planted faults are told from sound runs by the saved state, and other files are refused."""

from __future__ import annotations

import pytest
import torch
from lens import digits
from torch import nn
from typer.testing import CliRunner

import thalweg
from thalweg.lab.cli.commands import app
from thalweg.lens.checkpoint import checkpoint


def save(tmp_path, model, optimizer):
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")
    torch.save(model.state_dict(), tmp_path / "model.pt")
    return tmp_path / "optimizer.pt", tmp_path / "model.pt"


def names(path, weights=None):
    return [finding.name for finding in checkpoint(path, weights)]


@pytest.mark.parametrize("fault", digits.FAULTS)
def test_a_planted_fault_is_named_first(tmp_path, fault):
    assert names(*save(tmp_path, *digits.train(fault)))[0] == digits.FAULTS[fault]


SOUND = {
    "adam": dict(make=torch.optim.Adam),
    "seed 1": dict(make=torch.optim.Adam, seed=1),
    "long": dict(make=torch.optim.Adam, steps=1500),
    "adamw": dict(make=torch.optim.AdamW, lr=3e-3),
    "slow": dict(make=torch.optim.Adam, lr=1e-4),
    "momentum": dict(make=torch.optim.SGD, lr=0.1, momentum=0.9),
    "rmsprop": dict(make=torch.optim.RMSprop, lr=1e-3),
    "adagrad": dict(make=torch.optim.Adagrad, lr=1e-2),
    "amsgrad": dict(make=torch.optim.Adam, amsgrad=True),
    "thalweg": dict(make=thalweg.optim.Adam),
    "thalweg radam": dict(make=thalweg.optim.RAdam),
}


@pytest.mark.parametrize("run", SOUND)
def test_a_sound_run_has_no_finding(tmp_path, run):
    assert names(*save(tmp_path, *digits.train(**SOUND[run]))) == []


@pytest.mark.parametrize("fault", ["dead", "eps", "scaled"])
def test_the_state_alone_is_enough_but_for_rounding(tmp_path, fault):
    assert names(save(tmp_path, *digits.train(fault))[0])[0] == digits.FAULTS[fault]


@pytest.mark.parametrize("fault", digits.FAULTS)
def test_thalwegs_states_are_read_alike(tmp_path, fault):
    assert names(*save(tmp_path, *digits.train(fault, make=thalweg.optim.Adam)))[0] == digits.FAULTS[fault]


def around(optimizer, model, how):
    state, weights = optimizer.state_dict(), model.state_dict()
    return {
        "lightning": {"epoch": 3, "state_dict": weights, "optimizer_states": [state], "lr_schedulers": []},
        "plain": {"model": weights, "optimizer": state, "step": 300},
    }[how]


@pytest.mark.parametrize("how", ["lightning", "plain"])
def test_a_checkpoint_around_it_gives_the_weights_too(tmp_path, how):
    model, optimizer = digits.train("bf16")
    torch.save(around(optimizer, model, how), tmp_path / "last.ckpt")
    assert names(tmp_path / "last.ckpt") == ["lost_to_rounding"]


def test_a_folder_of_hugging_face(tmp_path):
    model, optimizer = digits.train("bf16")
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    assert names(tmp_path) == ["lost_to_rounding"]


def test_unseen_words_are_no_dead_units(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(50, 8), nn.Flatten(), nn.Linear(16, 50))
    optimizer = torch.optim.Adam(model.parameters())
    for _ in range(20):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(torch.randint(10, (8, 2))), torch.randint(10, (8,))).backward()
        optimizer.step()
    assert names(*save(tmp_path, model, optimizer)) == []


def test_nan_is_told(tmp_path):
    model, optimizer = digits.train(steps=3)
    optimizer.state[model[2].weight]["exp_avg"][0, 0] = torch.nan
    [finding] = checkpoint(*save(tmp_path, model, optimizer))
    assert (finding.name, finding.where) == ("not_finite", ("2.weight",))


class Unknown:
    pass


def refused(tmp_path, content):
    torch.save(content, path := tmp_path / "file.pt")
    with pytest.raises(ValueError) as error:
        checkpoint(path)
    return str(error.value)


def test_other_files_are_refused(tmp_path):
    assert "would run code" in refused(tmp_path, {"optimizer": Unknown()})
    assert "holds a mapping with 'weight'" in refused(tmp_path, {"weight": torch.ones(2)})
    _, optimizer = digits.train(steps=2, make=torch.optim.SGD, lr=0.1)
    assert "no state" in refused(tmp_path, optimizer.state_dict()) or "at least one of" in refused(
        tmp_path, optimizer.state_dict()
    )
    state = digits.train(steps=2)[1].state_dict()
    assert "2 optimizers" in refused(tmp_path, {"a": state, "b": state})
    (tmp_path / "file.pt").write_text("plain text")
    with pytest.raises(ValueError, match=r"not a file of torch\.save|would run code"):
        checkpoint(tmp_path / "file.pt")
    with pytest.raises(ValueError, match="no file"):
        checkpoint(tmp_path / "none.pt")


def test_weights_of_another_model_are_refused(tmp_path):
    state, _ = save(tmp_path, *digits.train(steps=2))
    other = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    torch.save(other.state_dict(), tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"0\.weight has the shape"):
        checkpoint(state, tmp_path / "other.pt")


SEEN = {"dead": "of 64 units (4", "eps": "eps = 1 is larger", "bf16": "of the steps are under half a spacing"}


@pytest.mark.parametrize("fault", digits.FAULTS)
def test_the_command_tells_the_four_apart(tmp_path, fault):
    state, weights = save(tmp_path, *digits.train(fault))
    run = CliRunner().invoke(app, ["lens", str(state), "--model", str(weights)])
    assert run.exit_code == 0
    assert SEEN.get(fault, "The gradients are so small") in run.output.splitlines()[0]


def test_the_command(tmp_path):
    state, _ = save(tmp_path, *digits.train("eps"))
    assert "确证" in CliRunner().invoke(app, ["lens", str(state), "--language", "zh"]).output
    state, _ = save(tmp_path, *digits.train())
    assert CliRunner().invoke(app, ["lens", str(state)]).output == "Nothing wrong was found.\n"
    assert CliRunner().invoke(app, ["lens", str(state), "--language", "fr"]).exit_code == 2
    assert CliRunner().invoke(app, ["lens", str(tmp_path / "none.pt")]).exit_code == 2
