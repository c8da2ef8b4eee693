# The commands of this repository.  `make install` is a part of all others and costs nothing the second time.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

# Processes that run tests side by side, each with servers of its own.
TEST_JOBS ?= 2

# What carries hints in the demo: postgres, or kafka.
TRANSPORT ?= postgres

.DEFAULT_GOAL := help
.PHONY: help install format lint test demo bench clean

help:            ## Show these lines.
	@grep -hE '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 12

install: $(STAMP) ## Make the environment .venv and install maestro-py and its tools into it.

# Newer pins or a newer pyproject make the stamp old; everything else is found installed at once.
$(STAMP): pyproject.toml constraints.txt setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo 'maestro-py needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)'; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo 'installing maestro-py and its tools into $(VENV); the first time takes a minute or two'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

format: install  ## Rewrite the code in the house format.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lint: install    ## Check lint, format, types and which room imports which.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

test: lint       ## Check everything, against a real PostgreSQL and Kafka that the tests start.
	$(BIN)/pytest --numprocesses $(TEST_JOBS) --dist loadfile  # and tests/unit/decide as one: tests/conftest.py

demo: install    ## Run the example on real data: start, push, announce, watch, result, stop; TRANSPORT=kafka too.
	$(BIN)/python -m examples.ml_pipeline.demo --transport $(TRANSPORT)

bench: install   ## Measure; pass options by ARGS="--cases B1,B2 --repeat 5 --json".
	$(BIN)/python -m benchmarks $(ARGS)

clean:           ## Remove what was built; the data of `maestro up` stays.
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache src/*.egg-info
