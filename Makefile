# One command for each thing that is done here; `make` alone lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

PORT ?= 8000
DATA_DIR ?= .fullon
PROFILE ?= short
JOBS ?= 2
TESTS ?=
BENCH ?= bus exchanges services ohlcv executor fanout resilience tracing dashboard sizing

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTHONS := python3.13 python3.12 python3.11 python3
PAGES := $(shell find ui -path ui/node_modules -prune -o -type f ! -name generated.ts -print) schema/schema.graphql hatch_build.py

# The short profile leaves out what is marked slow; the ci profile runs everything.
SELECT := $(if $(filter short,$(PROFILE)),-m "not slow",)

.PHONY: help env run test coverage check format-check lint types imports security audit bench schema reference build clean

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

env: $(STAMP) ## Make .venv in this checkout and install everything, nothing started

# uv installs in a tenth of the time; where it cannot be had or fails, pip does the same.
$(STAMP): pyproject.toml $(PAGES)
	@for python in $(PYTHONS); do \
	  if "$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	  then found="$$python"; break; fi; \
	done; \
	if [ -z "$${found:-}" ]; then echo "no Python >= 3.11 found: install one, and its venv module"; exit 1; fi; \
	[ -x $(BIN)/python ] || "$$found" -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv || echo "uv cannot be had: pip does it"
	@if [ -x $(BIN)/uv ] && $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --editable '.[dev]'; then :; \
	else $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'; fi
	@touch $(STAMP)

run: env ## Start the demo on 127.0.0.1 (PORT=8000, DATA_DIR=.fullon)
	@exec $(BIN)/fullon demo --port $(PORT) --data-dir $(DATA_DIR)

test: env ## Run the tests (PROFILE=short, under 10 minutes; PROFILE=ci runs all)
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(SELECT)

coverage: env ## Run the tests and say which lines and branches no test came to; fails below 90 %
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder --timeout 400 $(SELECT) $(TESTS)
	@$(BIN)/coverage combine --quiet && $(BIN)/coverage report

check: format-check lint types imports security test ## All that must hold before a commit lands: format, lint, types, imports, bandit, tests

format-check: env
	@$(BIN)/ruff format --check .

lint: env
	@$(BIN)/ruff check .

types: env
	@$(BIN)/mypy

imports: env
	@$(BIN)/lint-imports

security: env
	@$(BIN)/bandit --quiet --recursive --configfile pyproject.toml src hatch_build.py

audit: env ## Ask the public advisories about every installed package (needs the internet)
	@$(BIN)/pip-audit --strict --skip-editable --progress-spinner off

bench: env ## Run the benchmarks, one after the other (BENCH="bus ohlcv" runs these two)
	@for name in $(BENCH); do echo "== $$name"; $(BIN)/python "benchmarks/$$name.py"; done

schema: env ## Print the GraphQL schema to schema/schema.graphql
	@mkdir -p schema && $(BIN)/fullon schema > schema/schema.graphql.new && mv schema/schema.graphql.new schema/schema.graphql

reference: env ## Write docs/cli.md from the commands
	@$(BIN)/python -m tests.cli_document

build: env ## Make the wheel and the sdist in dist/
	@$(BIN)/uv build --quiet --out-dir dist . && ls -l dist

clean: ## Remove what was built and installed here; data stays
	@rm -rf $(VENV) dist src/fullon_master_api/web/built ui/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis
