"""`thalweg.optim` stands in for `torch.optim`: every public name and every module, ours or torch's own."""

import pkgutil
import subprocess
import sys
from importlib import import_module

import pytest
import torch

import thalweg.optim as optim

MODULES = [each.name for each in pkgutil.iter_modules(torch.optim.__path__)]


def test_every_public_name_of_torchs_is_here():
    assert set(torch.optim.__all__) <= set(optim.__all__)
    for name in {"Optimizer", "lr_scheduler", "swa_utils", *optim.TORCHS} & set(torch.optim.__all__):
        assert getattr(optim, name) is getattr(torch.optim, name)


def test_a_name_that_the_installed_torch_lacks_says_so(monkeypatch):
    monkeypatch.delattr(optim, "LBFGS")
    with pytest.raises(AttributeError, match=r"optim.LBFGS is torch's own, and torch \d\S* does not have it"):
        _ = optim.LBFGS
    with pytest.raises(AttributeError, match="module 'thalweg.optim' has no attribute 'Adm'"):
        _ = optim.Adm


def test_only_public_names_are_listed():
    assert dir(optim) == sorted(optim.__all__)


@pytest.mark.parametrize("name", MODULES)
def test_every_module_of_torchs_is_here_with_every_name_and_our_classes(name):
    ours, theirs = import_module(f"thalweg.optim.{name}"), import_module(f"torch.optim.{name}")
    classes = {each for each in getattr(theirs, "__all__", ()) if each in optim.__all__ and each != "swa_utils"}
    for each in (each for each in vars(theirs) if not each.startswith("__")):
        assert getattr(ours, each) is getattr(optim if each in classes else theirs, each), each
    assert name.startswith("_") or not hasattr(torch.optim, name.title()) or classes == {name.title()}


SCRIPT = """
import torch
import torch.optim as optim
import torch.optim.swa_utils
from torch.optim import adam, optimizer
from torch.optim.adamw import AdamW
from torch.optim.lr_scheduler import LRScheduler, StepLR, _LRScheduler
from torch.optim.optimizer import Optimizer, ParamsT
from torch.optim.swa_utils import AveragedModel

model = torch.nn.Linear(2, 1)


class Own(optim.Optimizer):
    def __init__(self, params: ParamsT, lr: float) -> None:
        super().__init__(params, dict(lr=lr))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p -= group["lr"] * p.grad


for made in (Own(model.parameters(), 0.5), AdamW(model.parameters()), adam.Adam(model.parameters())):
    schedule = StepLR(made, step_size=1, gamma=0.5)
    made.zero_grad()
    AveragedModel(model)(torch.ones(1, 2)).sum()
    model(torch.ones(1, 2)).sum().backward()
    made.step()
    schedule.step()
    assert schedule.get_last_lr()[0] == made.defaults["lr"] / 2
    assert isinstance(made, Optimizer) and issubclass(_LRScheduler, LRScheduler) and optimizer.Optimizer is Optimizer
print(AdamW.__module__, adam.Adam.__module__)
"""


@pytest.mark.apart
def test_a_script_for_torch_runs_when_the_name_is_replaced():
    script = SCRIPT.replace("torch.optim", "thalweg.optim")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("thalweg.optim thalweg.optim\n", "")
