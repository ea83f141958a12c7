SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
THIRD := $(VENV)/share/protos
JOBS ?= 2
PYTEST := $(BIN)/pytest -n $(JOBS) --dist loadscope --no-loadscope-reorder
CARD ?=
TRAIN ?= .mediq/train
PACKAGES := mesh edge ops gateway user_svc ocr_svc ocr_engine queue_svc institution_svc training tools

.DEFAULT_GOAL := help
.PHONY: help demo run test test-loaded coverage test-backends check audit format gen lock bench bench-identity bench-ocr bench-queue bench-queue-sim train train-check clean

help: ## Explain the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-15s %s\n", $$1, $$2}'

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -qq --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(THIRD): $(READY)
	$(BIN)/python -m tools.third_party $@
	@touch $@

demo: $(READY) ## Start the mesh, turn a card photo into a called ticket through Envoy (CARD=path for an own image)
	@$(BIN)/mediq demo $(if $(CARD),--card "$(CARD)")

run: $(READY) ## Start the mesh and keep serving
	@$(BIN)/mediq up

test: $(READY) $(THIRD) ## All tests that need no server from outside
	$(PYTEST) -m "not backends and not torch"

test-loaded: $(READY) $(THIRD) ## All tests that need no server from outside, beside twenty busy processes
	$(BIN)/python -m tests.support.loaded $(PYTEST) -m "not backends and not torch"

coverage: $(READY) $(THIRD) ## The same tests with the branches that they take: two thirds slower; fails below the floor
	$(PYTEST) -m "not backends and not torch" --cov --cov-report=term:skip-covered

test-backends: $(READY) ## The contract tests on MariaDB, Redis and RabbitMQ; fails when one cannot be reached
	$(PYTEST) -m backends

check: $(READY) $(THIRD) ## Format, lint, types, import rules, contracts, generated code, links, unsafe code, secrets, advisories
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
	$(BIN)/bandit -q -c pyproject.toml -r $(PACKAGES)
	$(BIN)/python -m tools.secrets_scan
	$(BIN)/python -m tools.advisories
	$(BIN)/pip check

audit: $(READY) ## Ask PyPI anew for known vulnerabilities of the locked packages; needs the network
	$(BIN)/python -m tools.advisories --refresh

format: $(READY) ## Rewrite the sources in the standard format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/buf format -w protos

gen: $(READY) $(THIRD) ## Regenerate stubs, OpenAPI and Envoy's configuration from the contracts
	$(BIN)/python -m tools.generate

bench: $(READY) ## Measure the kit against a bare gRPC server
	$(BIN)/python -m bench.kit

bench-identity: $(READY) ## Measure logins and profiles through Envoy on SQLite and MariaDB against a bare echo
	$(BIN)/python -m bench.identity

bench-ocr: $(READY) ## Measure the card reader against EasyOCR, RapidOCR and Tesseract; writes docs/explanation/ocr-report.md
	$(BIN)/python -m bench.ocr --report

bench-queue: $(READY) ## Measure the queue through Envoy on MariaDB against raw SQL doing the same statements
	$(BIN)/python -m bench.queue

bench-queue-sim: $(READY) ## Simulate sixty days of a clinic with the order and the estimates that patients get
	$(BIN)/python -m bench.queue_sim

train-check: $(READY) ## Compare the exported networks of the card reader with the trained ones; needs PyTorch
	$(BIN)/pytest -m torch

train: $(READY) ## Draw the training photos, train the card reader's networks, export them (hours; TRAIN=folder)
	$(BIN)/python -m training.reader $(TRAIN)

lock: ## Resolve the newest versions anew and write requirements.lock
	rm -rf $(VENV)/lock
	$(PYTHON) -m venv $(VENV)/lock
	$(VENV)/lock/bin/pip install --quiet -e '.[dev,train,bench]'
	$(VENV)/lock/bin/pip freeze --exclude-editable > requirements.lock

clean: ## Remove the environment and the data folder
	rm -rf $(VENV) .mediq
