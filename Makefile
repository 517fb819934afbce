# Two commands: `make search` sets up and runs a small real search, `make test` runs the tests.
# Both install into .venv what they need, at the exact versions of constraints.txt, and only when those change.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
PIP = $(VENV)/bin/python -m pip --disable-pip-version-check
RUN ?= runs/quickstart
MARKS ?= not slow and not gpu and not ray and not data and not pages and not thorough
PYTEST_ARGUMENTS ?=

# One torch thread per process: results repeat bit for bit only at one fixed number of threads.
export OMP_NUM_THREADS = 1
export MKL_NUM_THREADS = 1

# The tests start some two hundred processes; each would compile the package anew where this is set.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: search test lint format clean

search: $(VENV)/.installed
	$(VENV)/bin/nasengine search quickstart random_search --executor local --workers 2 --trials 12 --run $(RUN)

# A file's tests share what takes long to make, so one process runs them; also all that share a Ray cluster
# (tests/conftest.py).
test: $(VENV)/.installed-dev
	$(VENV)/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "$(MARKS)" $(PYTEST_ARGUMENTS)

lint: $(VENV)/.installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-cache

format: $(VENV)/.installed-dev
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# The build backend is installed first and used as it is, so that its version is pinned too.
$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install --quiet -c constraints.txt hatchling editables
	$(PIP) install --quiet -c constraints.txt --no-build-isolation -e '.[onnx,report]'
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) install --quiet -c constraints.txt --no-build-isolation -e '.[onnx,report,ray,samplers,dashboard,dev]'
	touch $@
