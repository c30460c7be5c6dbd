"""The examples of Lightning and Hugging Face, made short."""

import re

import pytest

from test_examples import run


@pytest.mark.parametrize(
    ("module", "name", "arguments"),
    [("lightning", "lightning_module.py", ("--epochs", "6")), ("transformers", "hugging_face.py", ("--steps", "60"))],
)
def test_it_learns(module, name, arguments, tmp_path):
    pytest.importorskip(module)
    last_line = run(name, *arguments, folder=tmp_path).splitlines()[-1]
    before, after = map(float, re.findall(r"\d+\.\d+", last_line))
    assert after < 0.8 * before
