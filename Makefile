# Everything from a bare machine with Python 3.10-3.13: `make demo`, `make test`.
# PYTHON=/path/to/python chooses the interpreter; VENV=folder another place for the environment.

VENV ?= .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?=
# Most tests wait for servers most of the time, so that three at once do well on two cores. A file stays together: it shares servers.
PARALLEL ?= -n 3 --dist loadfile
STAMP := $(VENV)/.stamp

.DEFAULT_GOAL := help
.PHONY: help venv demo test test-long lint format bench sandbox clean

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(STAMP) ## create the environment

# Rebuilt from nothing when the pins or the package's metadata change: an environment that was only added to hides missing pins.
$(STAMP): pyproject.toml constraints.txt tools/make_venv.sh
	bash tools/make_venv.sh "$(VENV)" "$(PYTHON)"
	@touch $@

demo: $(STAMP) ## back up and restore a real RavenDB, start to finish
	$(BIN)/python -m demo

sandbox: $(STAMP) ## fetch the RavenDB servers which the demo and the tests start
	$(BIN)/python -m demo.sandbox fetch

test: $(STAMP) ## run every test (PYTEST_ARGS="-k chain" for some)
	$(BIN)/python -m demo.sandbox fetch
	$(BIN)/python -m pytest $(PARALLEL) $(PYTEST_ARGS)

test-long: $(STAMP) ## run the tests that take minutes or much disk
	$(BIN)/python -m demo.sandbox fetch
	$(BIN)/python -m pytest -m long $(PYTEST_ARGS)

lint: $(STAMP) ## style, format, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP) ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP) ## the figures of the design, side by side
	$(BIN)/python -m benchmarks

clean: ## remove the environment and what tools left
	rm -rf "$(VENV)" .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
