"""Optimizers from command lines and configuration files: jsonargparse (LightningCLI) and OmegaConf (Hydra)."""

import sys

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser
from omegaconf import OmegaConf

import thalweg.optim as optim
from thalweg.catalogue import CLASSES


def parsed(*arguments: str) -> torch.optim.Optimizer:
    """As LightningCLI reads its command line: any optimizer class, its parameters given later."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(torch.optim.Optimizer, "optimizer", skip={"params"}, instantiate=False)
    chosen = parser.parse_args(list(arguments)).optimizer
    cls = getattr(sys.modules[chosen.class_path.rpartition(".")[0]], chosen.class_path.rpartition(".")[2])
    return cls([torch.nn.Parameter(torch.ones(2, 2))], **chosen.get("init_args", {}))


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_jsonargparse_takes_every_class_with_its_settings(cls):
    made = parsed(
        f"--optimizer=thalweg.optim.{cls.__name__}", "--optimizer.lr=0.25", "--optimizer.weight_decay=0.125",
        "--optimizer.rounding=nearest", "--optimizer.clip_norm=2", "--optimizer.maximize=true",
    )  # fmt: skip
    assert type(made) is cls
    group = made.param_groups[0]
    assert (group["lr"], group["weight_decay"], group["rounding"], group["maximize"]) == (0.25, 0.125, "nearest", True)
    assert made.guard.clip_norm == 2


def test_jsonargparse_takes_pairs_and_refuses_what_is_no_setting():
    made = parsed("--optimizer=thalweg.optim.AdamW", "--optimizer.betas=[0.5, 0.75]")
    assert tuple(made.param_groups[0]["betas"]) == (0.5, 0.75)
    for wrong in ("--optimizer.rate=0.1", "--optimizer.rounding=up", "--optimizer.betas=[0.5]"):
        with pytest.raises(Exception, match=wrong.split("=")[0].removeprefix("--optimizer.")):
            parsed("--optimizer=thalweg.optim.AdamW", wrong)


@pytest.mark.parametrize("name", ["AdamW", "SGD", "Adam", "RMSprop"])
def test_a_short_name_means_torchs_class_as_it_did_before_this_package_was_imported(name):
    assert type(parsed(f"--optimizer={name}")) is getattr(torch.optim, name)


def test_a_short_name_that_torch_lacks_is_found():
    assert type(parsed("--optimizer=Adan")) is optim.Adan


def test_subclasses_of_a_users_own_are_found():
    class Own(optim.AdamW):
        def __init__(self, params, rate: float = 0.5):
            super().__init__(params, lr=rate)

    assert optim.AdamW.__subclasses__() == [Own]
    made = Own([torch.nn.Parameter(torch.ones(2))])
    assert made.param_groups[0]["lr"] == 0.5


CONFIGURATION = OmegaConf.create(
    {"lr": 0.5, "betas": [0.5, 0.75], "weight_decay": 0, "maximize": True, "rounding": "nearest"}
)


def test_a_hydra_configuration_is_taken_and_kept_as_python_values():
    p = torch.nn.Parameter(torch.ones(2))
    made = optim.AdamW([p], **CONFIGURATION)
    group = made.param_groups[0]
    assert group["betas"] == (0.5, 0.75) and type(group["betas"]) is tuple
    p.grad = torch.ones(2)
    made.step()
    same = optim.AdamW([torch.nn.Parameter(torch.ones(2))], **OmegaConf.to_container(CONFIGURATION))
    same.param_groups[0]["params"][0].grad = torch.ones(2)
    same.step()
    assert torch.equal(p, same.param_groups[0]["params"][0])


def test_a_checkpoint_of_it_loads_with_weights_only(tmp_path):
    p = torch.nn.Parameter(torch.ones(2))
    made = optim.AdamW(
        [{"params": [p], "betas": OmegaConf.create([0.5, 0.75])}], lr=np.float64(0.5), eps=np.array(1e-3)
    )
    torch.save(made.state_dict(), tmp_path / "state.pt")
    [group] = torch.load(tmp_path / "state.pt", weights_only=True)["param_groups"]
    assert (group["lr"], group["betas"], group["eps"]) == (0.5, (0.5, 0.75), 1e-3)


def test_lightning_cli(monkeypatch):
    cli = pytest.importorskip("lightning.pytorch.cli")
    lightning = pytest.importorskip("lightning.pytorch")

    class Model(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(2, 1)

    def optimizer(*arguments):
        found = cli.LightningCLI(Model, args=list(arguments), run=False, save_config_callback=None)
        made = found.model.configure_optimizers()
        return made["optimizer"] if isinstance(made, dict) else made

    made = optimizer("--optimizer=thalweg.optim.AdamW", "--optimizer.lr=0.25", "--optimizer.betas=[0.5,0.75]")
    assert type(made) is optim.AdamW and made.param_groups[0]["lr"] == 0.25
    assert type(optimizer("--optimizer=AdamW", "--optimizer.lr=0.25")) is torch.optim.AdamW
