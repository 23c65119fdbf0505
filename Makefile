# `make help` lists what can be made. Everything lives in .venv; nothing is installed outside of it, save the Debian
# packages that tests need (deploy/debian/packages-test.txt), and those only as root.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# Two workers keep two cores busy. A file's tests stay together, in the order in which tests/conftest.py puts the files.
PYTEST_ARGS ?= --numprocesses 2 --dist loadfile --no-loadscope-reorder

export PYTHON PIP_DISABLE_PIP_VERSION_CHECK := 1
# Where it is set, each of the many processes that tests start would compile the program anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help agent-bundle agent-deb agent-man demo install install-dev test test-quick test-packages lint format rules schema clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: install ## a collector, two agents and an incident on this machine (ARGS=--exit ends by itself)
	@$(BIN)/quarkpulse-collector demo $(ARGS)

install: $(VENV)/.collector ## agent and collector into .venv

install-dev: $(VENV)/.dev ## what the tests need beside them

test: test-packages lint ## everything: linters, types, import directions, all tests
	$(BIN)/pytest $(PYTEST_ARGS) $(ARGS)

test-quick: install-dev ## the tests that take seconds, less than 2 minutes in all
	$(BIN)/pytest $(PYTEST_ARGS) -m "not slow" $(ARGS)

test-packages:
	@.ci/apt-install deploy/debian/packages-test.txt

lint: install-dev ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install-dev ## let ruff format and fix what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

rules: install test-packages ## check the shipped rules and run their unit tests
	$(BIN)/quarkpulse-collector rules check rules
	$(BIN)/quarkpulse-collector rules test rules/tests/*.test.yaml
	promtool test rules rules/tests/*.test.yaml

schema: install ## write the protocol's JSON Schema into docs/reference/protocol
	$(BIN)/python -m protocol.schema

agent-deb: install-dev ## the agent as a Debian package in dist/, with its own Python; on Debian 12
	@$(BIN)/python -m deploy.pack deb

agent-bundle: install-dev ## the agent as a folder for machines without Python, a .tar.gz in dist/; on Debian 12
	@$(BIN)/python -m deploy.pack bundle

agent-man: install-dev ## the agent's manual page in dist/
	@$(BIN)/python -m deploy.pack man

clean: ## remove .venv, caches and the demo's data
	rm -rf $(VENV) .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.python:
	@.ci/make-venv $(VENV)
	@touch $@

$(VENV)/.collector: $(VENV)/.python pyproject.toml constraints.txt
	@echo "installing agent and collector into $(VENV), about a minute …"
	@$(BIN)/python -m pip install --quiet --quiet --constraint constraints.txt --editable '.[collector]'
	@touch $@

$(VENV)/.dev: $(VENV)/.python pyproject.toml constraints.txt
	@echo "installing agent, collector and test tools into $(VENV), about a minute …"
	@$(BIN)/python -m pip install --quiet --quiet --constraint constraints.txt --editable '.[collector,printers,dev]'
	@touch $(VENV)/.collector $@
