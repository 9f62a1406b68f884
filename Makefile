# Everything a newcomer needs: `make demo` and `make test`. Both set up .venv by themselves.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
ARGS   ?=
AGENTS ?=
# kills, floods and leases of a second or two want a machine of their own; the others run side by side
ALONE  := tests/faults
NONE   := 5 # pytest's exit code when ARGS select no test of that half

.PHONY: help setup demo test test-real check binary screenshots bench soak constraints clean

help:                ## show this list
	@grep -hE '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 16

setup: $(STAMP)      ## create .venv and install the pinned packages

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "make: Python 3.11 or newer with venv is needed (PYTHON=/path/to/python3.11)" >&2; exit 1; }
	@echo "setting up $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(STAMP)       ## run the example plan in live terminals (ARGS=--headless prints progress and exits; "--headless --redis": on Redis)
	@$(BIN)/python examples/demo.py $(ARGS)

test: $(STAMP) check ## all checks and the test suite (ARGS are passed to pytest)
	@.ci/programs tmux vim less htop redis-server busybox
	@$(BIN)/python .ci/binary/build.py --only-tools
	$(BIN)/python -m pytest -n 2 --dist loadfile $(addprefix --ignore=,$(ALONE)) $(ARGS) || test $$? = $(NONE)
	$(BIN)/python -m pytest $(ALONE) $(ARGS) || test $$? = $(NONE)

test-real: $(STAMP)  ## the real agent programs, from npm, against our own model server (AGENTS="claude codex": only these)
	@$(BIN)/python -m tests.real.install $(AGENTS)
	REAL_AGENTS="$(AGENTS)" $(BIN)/python -m pytest -m real -n 4 --dist worksteal tests/real $(ARGS)

check: $(STAMP)      ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

binary: $(STAMP)     ## build dist/qd, one executable file that needs no Python
	@$(BIN)/python .ci/binary/build.py $(ARGS)

screenshots: $(STAMP) ## draw the pictures of the README anew (examples/pictures)
	@$(BIN)/python -m tests.screenshots $(ARGS)

bench: $(STAMP)      ## benchmarks: ratios against peers and physical limits in one run
	$(BIN)/python -m tests.benchmarks $(ARGS)

soak: $(STAMP)       ## the long fault sweeps
	$(BIN)/python -m pytest -m soak --timeout 3600 $(ARGS)

constraints:         ## re-pin constraints.txt from pyproject.toml (needs uv)
	uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
	  --extra dev pyproject.toml -o constraints.txt

clean:               ## remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
