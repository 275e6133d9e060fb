# Everything happens in .venv, from requirements.lock. `make PYTHON=python3.12 setup` picks another interpreter.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
STAMP := .venv/.installed

# Packages that come as source are built with the locked setuptools too (old pip reads the first, new pip the second).
export PIP_CONSTRAINT := requirements.lock
export PIP_BUILD_CONSTRAINT := requirements.lock

.DEFAULT_GOAL := help
.PHONY: help setup demo sweep test test-slow test-gpu test-browser check audit format lock clean

help:  ## say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(STAMP)  ## install the locked dependencies and loralab into .venv

demo: setup  ## train the default run: a new style for nano_klein, on the CPU, in minutes
	$(BIN)/python train.py

sweep: setup  ## find rank, learning rate and length for the default run: 24 trials on the CPU
	$(BIN)/python train.py -m sweep=nano_klein study.num_workers=2
	$(BIN)/python -m loralab study nano_klein-default

test: setup  ## run the tests that need neither a GPU nor patience, on two cores
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: setup  ## run the slow tests
	$(BIN)/python -m pytest -m "slow and not gpu"

test-gpu: setup  ## run the tests that need a CUDA device
	$(BIN)/python -m pytest -m gpu

test-browser: setup  ## click through the HTML pages in a headless Chromium (Debian: chromium-driver)
	$(BIN)/python -m pytest -m browser

check: setup  ## lint, check the format, the types and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

audit: setup  ## say under which licences the dependencies are, and which vulnerabilities of them are known
	$(BIN)/python .ci/audit.py

format: setup  ## mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "loralab needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || true)." >&2; \
	  echo "Install one and name it: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Setting up .venv (the first time takes some minutes) ..."
	$(PYTHON) -m venv .venv
	$(PIP) install -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

lock:  ## resolve the dependencies of pyproject.toml anew and write requirements.lock
	rm -rf .lock-venv
	$(PYTHON) -m venv .lock-venv
	env -u PIP_CONSTRAINT -u PIP_BUILD_CONSTRAINT .lock-venv/bin/python -m pip install ".[dev,measure]"
	sed -n '/^#/p' requirements.lock > .lock-venv/new.lock
	.lock-venv/bin/python -m pip freeze --all --exclude loralab --exclude pip --exclude wheel \
	  | grep -v -i -E '^(nvidia-|cuda-|triton)' | sed -E 's/\+[a-z0-9.]+$$//' >> .lock-venv/new.lock
	mv .lock-venv/new.lock requirements.lock
	rm -rf .lock-venv

clean:  ## remove the environment and every cache, keep outputs/
	rm -rf .venv .lock-venv build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
