# The README's two commands, by name. PYTHON chooses the interpreter that makes .venv.
PYTHON ?= python3
PIP = .venv/bin/pip install -q -c constraints.txt

.PHONY: install compare test check fuzz stub bench simulate clean

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(PIP) -e ".[dev]"
	touch $@

compare: install
	.venv/bin/thalweg compare digits --preset quick

test: install
	.venv/bin/pytest -n 2 tests src docs

check: install
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

fuzz: install
	PYTHONPATH=tests .venv/bin/python -m fuzz --programs 5000 --operations 20 --seed $${SEED:-0}

stub: install
	.venv/bin/python tests/test_stub.py > optim.pyi && mv optim.pyi src/thalweg/optim.pyi

simulate: install
	.venv/bin/python benchmarks/simulate.py

bench: install
	.venv/bin/python benchmarks/step.py

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache
