# The README's two commands, by name. PYTHON chooses the interpreter that makes .venv.
PYTHON ?= python3
PIP = .venv/bin/pip install -q -c constraints.txt

.PHONY: install compare test test-apart test-all docs gpu test-cuda test-cuda-compile check fuzz stub tables bench bench-cuda simulate dist matrix clean

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(PIP) -e ".[dev]"
	touch $@

compare: install
	.venv/bin/thalweg compare mnist1d --preset quick

test: install
	.venv/bin/pytest -n 2 -m "not apart"

# What needs a browser, a cluster, a framework or 1.5 seconds of a core.
test-apart: install
	.venv/bin/pytest -n 2 -m apart tests

# Every case of every test: before a release.
test-all: install
	.venv/bin/pytest -n 2 tests src docs

# On a machine with a CUDA torch, and nothing else: checks, the first failure stops, then figures. Installs nothing.
gpu:
	PYTHONPATH=src $(PYTHON) benchmarks/gpu.py $(GPU)

# The laws on a GPU: prints the card. CUDA is torch's affair: install a torch with it into .venv first.
LAWS = cuda engines guard halves oracle papers whole_tensors sparse cautious checkpoints small
test-cuda: install
	THALWEG_TEST_DEVICE=cuda .venv/bin/pytest -v -n 0 $(patsubst %,tests/test_%.py,$(filter-out cuda,$(LAWS))) tests/cuda

# Every CUDA kernel in the interpreter and compiled for sm_90, without a GPU: 4 minutes. `make test` takes a spread.
test-cuda-compile: install
	THALWEG_CUDA_FULL=1 .venv/bin/pytest -n 2 tests/cuda

check: install
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

# The docs site in site/, strictly: a warning fails. It opens without a network: site/index.html.
docs: install
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build

fuzz: install
	PYTHONPATH=tests .venv/bin/python -m fuzz --programs 5000 --operations 20 --seed $${SEED:-0}

stub: install
	.venv/bin/python tests/test_stub.py > stub.pyi && mv stub.pyi src/thalweg/optim/__init__.pyi

tables: install
	.venv/bin/python docs/generate/tables.py

simulate: install
	.venv/bin/python benchmarks/simulate.py

bench: install
	.venv/bin/python benchmarks/step.py

bench-cuda: install
	.venv/bin/python benchmarks/step.py --device cuda

dist: install
	tests/distribution

matrix:
	tests/matrix lowest -n 2
	tests/matrix newest -n 2

clean:
	rm -rf site .venv .venv-lowest .venv-newest build dist .pytest_cache .mypy_cache .ruff_cache
