# Two commands do everything on a fresh machine: `make demo` and `make test`.
# They need Python 3.11 or newer and a package registry; some tests also need Node, Chromium, Redis or
# Java, and are skipped without.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo serve test lint format docs bench clean

help: ## List the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

demo: $(VENV)/.installed ## Show an event on its way, tasks at work, and a killed worker replaced
	@$(BIN)/callboard demo

serve: $(VENV)/.installed ## Run the server on 127.0.0.1:6001 with the development app
	@$(BIN)/callboard serve

# Two at a time: much of it waits for processes and browsers. A file's tests stay together, for they
# share servers.
test: $(VENV)/.installed-test ## Run all tests (ARGS="-k presence" picks some)
	@$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

lint: $(VENV)/.installed-lint ## Check format, lint, types and import contracts
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-lint ## Format the code and sort imports
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

docs: $(VENV)/.installed-test ## Write the pages that are generated from the code and the tests
	$(BIN)/callboard config > docs/configuration.md
	$(BIN)/python tests/compatibility/page.py docs/compatibility.md
	$(BIN)/python tests/scheduler/scheduler_page.py docs/scheduler.md

bench: $(VENV)/.installed ## Measure fan-out against its floor (see docs/benchmarks.md for the rest)
	@$(BIN)/callboard bench fanout

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist
	rm -rf tests/interop/node/node_modules

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Callboard needs Python 3.11 or newer, but $(PYTHON) is $$($(PYTHON) --version 2>&1)."; \
	  echo "Name another one: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "No virtual environment could be made; on Debian: apt install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'

# pip reads the dependency groups of pyproject.toml; a changed file installs again.
$(VENV)/.installed: $(BIN)/python pyproject.toml
	@echo "Installing Callboard into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group test
	@touch $@

$(VENV)/.installed-lint: $(VENV)/.installed-test
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group lint
	@touch $@
