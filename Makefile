# Every target does its own set-up from a bare checkout: Python 3.11 and make are enough.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
DATA ?= ../shared/data

.PHONY: help setup demo test check bench sample adapters screenshots lock clean

help:
	@echo "make demo         serve the sample company at http://127.0.0.1:7860"
	@echo "make test         run all tests (a browser and PostgreSQL are used where they are there)"
	@echo "make check        lint, types, import rules, docstrings"
	@echo "make bench        print every measured figure beside its peer and its limit (DATA=$(DATA))"
	@echo "make sample       write data/sample again from data/source"
	@echo "make adapters     train the shipped adapters again (about 10 minutes)"
	@echo "make screenshots  take the README's pictures in a real browser"

setup: $(VENV)/.ready

$(VENV)/.ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info[:2] < (3, 14) else "Python 3.11 to 3.13 is needed; name one with make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

demo: setup
	$(BIN)/deskhand demo

# Two tests at a time on two cores, each on one thread: two processes of several threads wait for each other.
test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup
	$(BIN)/python -m tests.bench --data $(DATA)

sample: setup
	$(BIN)/python data/make_sample.py

adapters: setup
	$(BIN)/python data/train_adapters.py --data $(DATA)

screenshots: setup
	$(BIN)/python -m pytest tests/e2e --screenshots

lock: setup
	$(BIN)/python -m pip install --quiet pip-tools
	$(BIN)/pip-compile --quiet --no-header --no-annotate --strip-extras --no-emit-index-url --no-emit-find-links --extra postgres --extra dev --output-file requirements.lock pyproject.toml
	sed -i 's/+cpu$$//' requirements.lock

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache dist
