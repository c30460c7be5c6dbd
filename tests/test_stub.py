"""The stub that tells editors and type checkers each constructor is made from the rules, and kept in step with them.

To write it anew: python tests/test_stub.py > src/thalweg/optim/__init__.pyi
"""

import inspect
import json
import os
import re
import subprocess
import sys
from inspect import formatannotation
from pathlib import Path

import pytest
from torch.optim.optimizer import ParamsT

import thalweg.optim as optim
from thalweg.optimizers.hybrid import Hybrid
from thalweg.optimizers.optimizer import Optimizer as Face
from thalweg.optimizers.schedule_free import ScheduleFree
from thalweg.optimizers.second_order import SecondOrder

BASES = {Face: "Face", ScheduleFree: "ScheduleFree", SecondOrder: "SecondOrder", Hybrid: "Hybrid"}
SOURCE = Path(__file__).parent.parent / "src"
STUB = SOURCE / "thalweg" / "optim" / "__init__.pyi"
HEAD = '''"""Written by tests/test_stub.py from the rules: what the package makes when it is imported."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from torch import Tensor
from torch.nn import Module
{torchs}
from torch.optim.optimizer import ParamsT

from thalweg.optimizers.hybrid import Hybrid as Hybrid
from thalweg.optimizers.optimizer import Optimizer as Face
from thalweg.optimizers.release import release_gradients as release_gradients
from thalweg.optimizers.schedule_free import ScheduleFree
from thalweg.optimizers.second_order import SecondOrder
from thalweg.roles import groups as groups
from thalweg.roles import roles as roles

def convert(state_dict: Mapping[str, Any], *, from_: str, to: str) -> dict[str, Any]: ...
'''


def kind(annotation: object) -> str:
    """The type of a setting, as the stub writes it."""
    text = re.sub(
        r"\b(torch|typing|collections\.abc|torch\.nn\.modules\.module)\.(?=[A-Z])", "", formatannotation(annotation)
    )
    return "ParamsT" if annotation is ParamsT else text.replace("'", '"')


def shown(default: object) -> str:
    """The default as the stub has it, which knows no `inf`."""
    return 'float("inf")' if default == float("inf") else repr(default)


def render() -> str:
    """The stub's text."""
    handed_on = sorted(
        [*optim.TORCHS, "Optimizer", "lr_scheduler", "swa_utils"], key=lambda name: (not name.isupper(), name)
    )
    parts = [HEAD.format(torchs="\n".join(f"from torch.optim import {name} as {name}" for name in handed_on))]
    for name in optim.__all__:
        cls = getattr(optim, name)
        if not (inspect.isclass(cls) and issubclass(cls, Face)) or cls is Hybrid:
            continue
        lines = ["self"]
        starred = False
        for each in inspect.signature(cls).parameters.values():
            if each.kind is each.KEYWORD_ONLY and not starred:
                lines.append("*")
                starred = True
            default = "" if each.default is each.empty else f" = {shown(each.default)}".replace("'", '"')
            lines.append(f"{each.name}: {kind(each.annotation)}{default}")
        arguments = "".join(f"        {line},\n" for line in lines)
        parts.append(f"class {name}({BASES[cls.__base__]}):\n    def __init__(\n{arguments}    ) -> None: ...\n")
    return "\n".join(parts)


def test_the_stub_says_what_the_rules_say():
    assert STUB.read_text() == render()


SCRIPT = """
from collections.abc import Callable

import torch
from torch import Tensor

import thalweg.optim as optim
from thalweg.optim.adamw import AdamW
from thalweg.optim.lr_scheduler import StepLR
from thalweg.optim.optimizer import Optimizer
from thalweg.optim.swa_utils import AveragedModel

model = torch.nn.Linear(2, 1)


def loss() -> Tensor:
    value: Tensor = model(torch.ones(2))
    return value.square().sum()


def train(optimizer: optim.Optimizer, scheduler: optim.lr_scheduler.LRScheduler | None = None) -> float:
    def closure() -> float:
        optimizer.zero_grad()
        value = loss()
        torch.autograd.backward(value)
        return float(value)

    last = optimizer.step(closure)
    if scheduler is not None:
        scheduler.step()
    return last


adam = optim.Adam(model.parameters(), lr=1e-3, betas=(torch.tensor(0.9), 0.99), eps=torch.tensor(1e-8), clip_norm=1.0)
print(train(adam, StepLR(adam, 1)), adam.guard.clipped_steps, adam.full_state_dict()["state"])
adam.load_state_dict(torch.optim.Adam(model.parameters()).state_dict())
adam.load_state_dict(adam.state_dict(), incomplete="restart")
adam.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))], "lr": 0.1})
adam.zero_grad(set_to_none=True)
others: list[Optimizer] = [
    AdamW([{"params": model.parameters(), "lr": 0.1}], rounding="nearest", state_dtype="int8"),
    optim.SGD(model.named_parameters(), 0.1, 0.9, nesterov=True),
    optim.LBFGS(model.parameters()),
]
optim.release_gradients(model, optim.AdamW(model.parameters()))
state = optim.convert(adam.state_dict(), from_="thalweg", to="torch")
averaged = AveragedModel(model)

free = optim.ScheduleFreeAdamW(model.parameters(), lr=0.01, warmup_steps=10)
same: optim.ScheduleFreeAdamW = free.train()
was: bool = free.eval().training
curved = optim.AdaHessian(model.parameters(), seed=3)
curved.estimate(loss())
curved.step()
made: Callable[[], Tensor | None] = lambda: model.weight.grad
"""
# Each a mistake, and a word of what a type checker must say of it.
MISTAKES = {
    "optim.Adam(model.parameters(), beta=0.9)": "beta",
    "optim.AdamW(model.parameters(), lr='0.1')": "lr",
    "optim.Adam(model.parameters(), betas=(0.9,))": "betas",
    "optim.AdEMAMix(model.parameters(), betas=(0.9, 0.999))": "betas",
    "optim.AdamW(model.parameters(), rounding='up')": "rounding",
    "optim.AdamW(model.parameters()).eval()": "eval",
    "optim.AdamW(model.parameters()).estimate(loss())": "estimate",
    "optim.ScheduleFreeSGD(model.parameters()).train('yes')": "train",
    "optim.AdaHessian(model.parameters()).estimate()": "estimate",
    "adam.load_state_dict(adam.state_dict(), incomplete='anew')": "incomplete",
    "optim.Adan2": "Adan2",
    "from thalweg.optim.adamw import AdmW": "AdmW",
    "from thalweg.optim.lr_scheduler import StepRL": "StepRL",
}
CHECKERS = {
    "mypy": ["mypy", "--strict", "--no-error-summary", "--hide-error-context"],
    "pyright": ["pyright", "--project", ".", "--pythonpath", sys.executable],
}


@pytest.fixture(params=CHECKERS)
def told(request, tmp_path):
    """What a type checker says of a script: its errors by line."""
    if request.param == "pyright" and not os.environ.get("CI"):
        there = subprocess.run([sys.executable, "-m", "pyright", "--version"], capture_output=True, text=True)
        if there.returncode:
            pytest.skip(f"pyright fetches itself when it first runs, and cannot: {there.stderr.strip()[-200:]}")
    (tmp_path / "pyrightconfig.json").write_text(
        json.dumps({"extraPaths": [str(SOURCE)], "reportPrivateImportUsage": False})
    )

    def check(text: str) -> dict[int, str]:
        (tmp_path / "script.py").write_text(text)
        cached = ["--cache-dir", str(tmp_path / "cache")] if request.param == "mypy" else []
        command = [sys.executable, "-m", *CHECKERS[request.param], *cached]
        command += ["script.py"] if request.param == "mypy" else []
        environment = {**os.environ, "MYPYPATH": str(SOURCE)}
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
        assert done.returncode in (0, 1), done.stdout + done.stderr
        found = re.findall(r"script.py:(\d+):.*?(error: .*)", done.stdout)
        return {int(line): message for line, message in found}

    return check


@pytest.mark.apart
def test_the_users_script_runs():
    subprocess.run([sys.executable, "-c", SCRIPT], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.apart
def test_a_type_checker_finds_every_mistake_in_a_users_script_and_no_more(told):
    first = len(SCRIPT.splitlines()) + 1
    errors = told(SCRIPT + "\n".join(MISTAKES) + "\n")
    assert {line: message for line, message in errors.items() if line < first} == {}
    assert {line - first for line in errors} == set(range(len(MISTAKES)))
    for line, word in enumerate(MISTAKES.values(), first):
        assert word in errors[line] or "argument" in errors[line].lower(), errors[line]


if __name__ == "__main__":
    print(render(), end="")
