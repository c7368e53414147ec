# Needs only make and a python3 with its venv module; everything else goes into .venv. `make help` lists the targets.
# Another interpreter: make PYTHON=python3.13

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/installed
# One process a core, each with one thread of torch.
PYTEST := $(BIN)/python -m pytest --numprocesses=auto --durations=20

# Threads of torch that wait give their core up: on a busy machine they would otherwise take it from those that work.
export OMP_WAIT_POLICY ?= PASSIVE

.DEFAULT_GOAL := help
.PHONY: help demo test test-all check

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):[^#]*## */  \1  /p' Makefile | awk '{ printf "  make %-9s", $$1; $$1 = ""; print }'

demo: $(READY)  ## train on the built-in pictures, sounds and sentences, then score the run again from its folder
	$(BIN)/mmtrain
	$(BIN)/mmtrain evaluate last

test: check  ## check, and every test that takes seconds; prints the 20 slowest
	$(PYTEST) -m "not slow"

test-all: check  ## check, and all tests, those of minutes included
	$(PYTEST)

check: $(READY)  ## lint, formatting and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# Made anew where pyproject.toml has changed; the checkout is installed editable, so code needs no new installation.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else 1)' || { \
	  echo "$(PYTHON) is $$($(PYTHON) --version 2>&1); mmtrain needs Python 3.11 to 3.13: make PYTHON=python3.12" >&2; \
	  exit 1; }
	@$(PYTHON) -m venv .venv || { \
	  echo "$(PYTHON) cannot make a virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@
