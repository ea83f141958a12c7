SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(VENV)/.run
DEV := $(VENV)/.dev
DISTRIBUTIONS := gen mesh edge ops gateway user_svc ocr_svc ocr_engine queue_svc institution_svc
PIP := $(BIN)/pip install -qq --disable-pip-version-check
UV := $(BIN)/uv pip install -q --python $(BIN)/python
THIRD := $(VENV)/share/protos
JOBS ?= 2
PYTEST = $(BIN)/pytest -n $(JOBS) --dist loadscope --no-loadscope-reorder
CARD ?=
TRAIN ?= .mediq/train
PACKAGES := mesh edge ops gateway user_svc ocr_svc ocr_engine queue_svc institution_svc training tools

# Programs are started by the hundred: without their bytecode each start compiles them again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo run test test-deep test-loaded coverage test-backends check audit format gen lock bench bench-identity bench-ocr bench-queue bench-queue-sim train train-check clean

help: ## Explain the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-15s %s\n", $$1, $$2}'

$(VENV)/bin/pip:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)

$(BIN)/uv: requirements/install.lock | $(VENV)/bin/pip
	$(PIP) --require-hashes -r requirements/install.lock
	@touch $@

$(RUN): requirements/run.lock $(DISTRIBUTIONS:%=%/pyproject.toml) | $(BIN)/uv
	$(UV) --require-hashes -r requirements/run.lock
	$(UV) --no-deps --no-build-isolation $(DISTRIBUTIONS:%=-e ./%)
	@touch $@

$(DEV): requirements/dev.lock training/pyproject.toml $(RUN)
	$(UV) --require-hashes -r requirements/dev.lock
	$(UV) --no-deps --no-build-isolation -e ./training
	@touch $@

# PyTorch is gigabytes, which pip can take from a folder that its configuration names.
$(VENV)/.%: requirements/%.lock $(DEV)
	$(PIP) --require-hashes -r requirements/$*.lock
	@touch $@

$(THIRD): $(DEV)
	$(BIN)/python -m tools.third_party $@
	@touch $@

demo: $(RUN) ## Start the mesh, turn a card photo into a called ticket through Envoy (CARD=path for an own image)
	@$(BIN)/mediq demo $(if $(CARD),--card "$(CARD)")

run: $(RUN) ## Start the mesh and keep serving
	@$(BIN)/mediq up

test: $(DEV) $(THIRD) ## All tests that need no server from outside
	$(PYTEST) -m "not backends and not torch"

test-deep: $(DEV) $(THIRD) ## The tests that find more the longer they run, ten times as long; needs the servers of test-backends
	MEDIQ_TEST_DEPTH=10 $(PYTEST) --timeout 7200 -m deep

test-loaded: $(DEV) $(THIRD) ## All tests that need no server from outside, beside twenty busy processes
	$(BIN)/python -m tests.support.runs.loaded $(PYTEST) -m "not backends and not torch"

coverage: $(DEV) $(THIRD) ## The same tests with the branches that they take: two thirds slower; fails below the floor
	$(PYTEST) -m "not backends and not torch" --cov --cov-report=term:skip-covered

# They wait for the disk of the server.
test-backends: JOBS = 3
test-backends: $(DEV) ## The contract tests on MariaDB, Redis and RabbitMQ; fails when one cannot be reached
	$(PYTEST) -m backends

check: $(DEV) $(THIRD) ## Format, lint, types, import rules, contracts, generated code, links, words, unsafe code, secrets, advisories
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/buf format --diff --exit-code protos
	$(BIN)/buf lint
	$(BIN)/python -m tools.contract_lint
	$(BIN)/python -m tools.breaking
	$(BIN)/python -m tools.generate --check
	$(BIN)/python -m tools.doc_links
	$(BIN)/python -m tools.words
	$(BIN)/bandit -q -c pyproject.toml -r $(PACKAGES)
	$(BIN)/python -m tools.secrets_scan
	$(BIN)/python -m tools.advisories
	$(BIN)/pip check

audit: $(DEV) ## Ask PyPI again for known vulnerabilities of the locked packages; needs the network
	$(BIN)/python -m tools.advisories --refresh

format: $(DEV) ## Rewrite the sources in the standard format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/buf format -w protos

gen: $(DEV) $(THIRD) ## Regenerate stubs, OpenAPI and Envoy's configuration from the contracts
	$(BIN)/python -m tools.generate

bench: $(DEV) ## Measure the kit against a bare gRPC server
	$(BIN)/python -m bench.kit

bench-identity: $(DEV) ## Measure logins and profiles through Envoy on SQLite and MariaDB against a bare echo
	$(BIN)/python -m bench.identity

bench-ocr: $(VENV)/.bench ## Measure the card reader against EasyOCR, RapidOCR and Tesseract; writes docs/explanation/ocr-report.md
	$(BIN)/python -m bench.ocr --report

bench-queue: $(DEV) ## Measure the queue through Envoy on MariaDB against raw SQL doing the same statements
	$(BIN)/python -m bench.queue

bench-queue-sim: $(DEV) ## Simulate sixty days of a clinic with the order and the estimates that patients get
	$(BIN)/python -m bench.queue_sim

train-check: $(VENV)/.train ## Compare the exported networks of the card reader with the trained ones; needs PyTorch
	$(BIN)/pytest -m torch

train: $(VENV)/.train ## Draw the training photos, train the card reader's networks, export them (hours; TRAIN=folder)
	$(BIN)/python -m training.reader $(TRAIN)

lock: $(DEV) ## Write the locks of requirements/ from what the distributions state (UPGRADE=--upgrade for the newest releases)
	PATH=$(abspath $(BIN)):$$PATH $(BIN)/python -m tools.lock $(UPGRADE)

clean: ## Remove the environment and the data folder
	rm -rf $(VENV) .mediq
