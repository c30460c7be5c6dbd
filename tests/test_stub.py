"""The stub that tells editors and type checkers each constructor is made from the rules, and kept in step with them.

To write it anew: python tests/test_stub.py > src/thalweg/optim/__init__.pyi
"""

import inspect
import subprocess
import sys
from pathlib import Path

import thalweg.optim as optim
from thalweg.codes import STATE_DTYPES
from thalweg.face import Optimizer as Face
from thalweg.guard import ON_NONFINITE
from thalweg.storage import STORAGES

WORDS = {"rounding": STORAGES, "on_nonfinite": ON_NONFINITE, "state_dtype": STATE_DTYPES}
STUB = Path(__file__).parent.parent / "src" / "thalweg" / "optim" / "__init__.pyi"
HEAD = '''"""Written by tests/test_stub.py from the rules: what the package makes when it is imported."""

from collections.abc import Mapping
from typing import Any, Literal

from torch import Tensor
{torchs}
from torch.optim.optimizer import ParamsT

from thalweg.face import Optimizer as Face
from thalweg.release import release_gradients as release_gradients

def convert(state_dict: Mapping[str, Any], *, from_: str, to: str) -> dict[str, Any]: ...
'''


def kind(name: str, default: object) -> str:
    """The type of a setting."""
    if name == "params":
        return "ParamsT"
    if name == "engine":
        return 'Literal["auto", "reference", "cpu", "cuda"]'
    if name == "lr":
        return "float | Tensor"
    if name == "clip_norm":
        return "float | None"
    if name in WORDS:
        words = WORDS[name]
        return f"Literal[{', '.join(map(repr, words))}]".replace("'", '"')
    if default is None:
        return "bool | None"
    if isinstance(default, tuple):
        return f"tuple[{', '.join(['float'] * len(default))}]"
    return "bool" if isinstance(default, bool) else "float"


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
        if not (inspect.isclass(cls) and issubclass(cls, Face)):
            continue
        lines = ["self"]
        starred = False
        for each in inspect.signature(cls).parameters.values():
            if each.kind is each.KEYWORD_ONLY and not starred:
                lines.append("*")
                starred = True
            default = "" if each.default is each.empty else f" = {shown(each.default)}".replace("'", '"')
            lines.append(f"{each.name}: {kind(each.name, each.default)}{default}")
        arguments = "".join(f"        {line},\n" for line in lines)
        parts.append(f"class {name}(Face):\n    def __init__(\n{arguments}    ) -> None: ...\n")
    return "\n".join(parts)


def test_the_stub_says_what_the_rules_say():
    assert STUB.read_text() == render()


def test_a_type_checker_sees_a_misspelt_setting(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import torch\nimport thalweg.optim as optim\nmodel = torch.nn.Linear(1, 1)\n"
        "optim.Adam(model.parameters(), lr=1e-3, betas=(0.9, 0.99))\n"
        "optim.Adam(model.parameters(), beta=0.9)\n"
    )
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "--cache-dir", str(tmp_path / "cache"), str(script)]
    told = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path).stdout.splitlines()
    [error] = [line for line in told if ": error: " in line]
    assert 'script.py:5: error: Unexpected keyword argument "beta" for "Adam"' in error


if __name__ == "__main__":
    print(render(), end="")
