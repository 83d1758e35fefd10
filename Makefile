# Shipway's commands. `make` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := libs/common libs/cli $(wildcard services/*)
EDITABLE := $(foreach p,$(PACKAGES),-e $(p))
UV_CACHE_ARGS := --quiet --python $(BIN)/python

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-upgrade test-compose test-dashboard screenshots compose chaos outage bench swaps canaries watched \
	bench-peers fmt lint types unit audit e2e docs site lock clean dev asyncapi airflow

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

$(BIN)/uv: lock/uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Shipway needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V). Try: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r lock/uv.txt
	@touch $@

$(VENV)/.runtime: $(BIN)/uv lock/runtime.txt $(addsuffix /pyproject.toml,$(PACKAGES))
	@echo "installing Shipway into $(VENV)"
	@$(BIN)/uv pip install $(UV_CACHE_ARGS) --require-hashes -r lock/runtime.txt
	@$(BIN)/uv pip install $(UV_CACHE_ARGS) --no-build-isolation --no-deps $(EDITABLE)
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime lock/dev.txt lock/docs.txt
	@echo "installing the development tools into $(VENV)"
	@$(BIN)/uv pip install $(UV_CACHE_ARGS) --require-hashes -r lock/dev.txt -r lock/docs.txt
	@touch $@

dev: $(VENV)/.dev ## set up .venv with Shipway and the development tools

demo: $(VENV)/.runtime ## the whole loop on real flight data, on this machine, without Docker
	@$(BIN)/shipway demo

test: lint types unit e2e ## everything that must hold before a change lands

lint: $(VENV)/.dev ## style, import rules, the lock
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --config pyproject.toml
	@! grep -nE '://' lock/*.txt || { echo "a lock file names a host: see CONTRIBUTING.md" >&2; exit 1; }

types: $(VENV)/.dev ## mypy --strict
	@$(BIN)/mypy

unit: $(VENV)/.dev ## fast tests, beside the code
	@$(BIN)/pytest -m "not slow" -n 4 --dist loadfile libs services examples

audit: $(VENV)/.dev ## known vulnerabilities in what is locked (needs the advisories of PyPI)
	@for lock in lock/runtime.txt lock/services.txt lock/dev.txt lock/docs.txt lock/browser.txt; do \
	  $(BIN)/pip-audit --strict --disable-pip --require-hashes --progress-spinner off -r $$lock || exit 1; done

e2e: $(VENV)/.dev ## the loop with real processes on the embedded stack, faults included
	@$(BIN)/pytest -m "not slow" tests --ignore tests/compose --ignore tests/upgrade --ignore tests/dashboard

test-slow: $(VENV)/.dev ## what takes longer: services killed in one loop and under traffic, every door, bugs planted on purpose, serving under faults
	@$(BIN)/pytest -m slow -n 4 --dist loadfile libs services examples
	@$(BIN)/pytest -m slow tests --ignore tests/compose --ignore tests/upgrade --ignore tests/dashboard

.env:
	@umask 077; sed "s/change-me-too/$$(openssl rand -hex 16)/; s/change-me/$$(openssl rand -hex 16)/" .env.example > .env
	@echo "made .env with new secrets"

compose: .env ## the real stack in containers: Kafka, PostgreSQL, S3, Prometheus, the six services
	@docker compose up --build --wait

test-upgrade: $(VENV)/.dev ## the release before and this one side by side, there and back (UPGRADE_FROM=ref)
	@$(BIN)/pytest -rs tests/upgrade

# On a machine with a /.dockerenv, testcontainers would take itself for a container.
test-compose: export TESTCONTAINERS_CONNECTION_MODE ?= docker_host
test-compose: export TC_HOST ?= 127.0.0.1
test-compose: $(VENV)/.dev ## the loop on real Kafka, S3 and PostgreSQL in containers, and docker compose itself
	@SHIPWAY_TEST_STACK=containers $(BIN)/pytest tests --ignore tests/compose --ignore tests/upgrade --ignore tests/dashboard
	@$(BIN)/pytest tests/compose

$(VENV)/.browser: $(VENV)/.dev lock/browser.txt
	@echo "installing what drives a browser into $(VENV)"
	@$(BIN)/uv pip install $(UV_CACHE_ARGS) --require-hashes -r lock/browser.txt
	@touch $@

test-dashboard: $(VENV)/.browser ## the dashboard in a real Chromium (apt-get install chromium, or CHROMIUM=/path)
	@$(BIN)/pytest tests/dashboard

screenshots: $(VENV)/.browser ## the pictures of the dashboard in docs/images, made anew
	@$(BIN)/pytest tests/dashboard/pictures.py

chaos: $(VENV)/.dev ## break a running Shipway in many ways under load (SEED=1 BUDGET_S=360; 0: every way, 15 minutes)
	@PYTHONPATH=tests $(BIN)/python -m chaos --seed $(or $(SEED),1) --budget-s $(or $(BUDGET_S),360) $(CHAOS)

outage: $(VENV)/.dev ## predictions go on with Kafka, PostgreSQL and the object store all away (OUTAGE_S=600)
	@SHIPWAY_TEST_OUTAGE_S=$(or $(OUTAGE_S),600) $(BIN)/pytest tests/test_serving_faults.py -k all_away \
	  --log-cli-level=INFO --log-disable=httpx

bench: $(VENV)/.dev ## Shipway side by side with other servers (needs wrk; BENCH=--write renews docs/performance.md)
	@$(BIN)/python bench $(BENCH)

swaps: $(VENV)/.dev ## releases under load, one after another (SWAPS='--swaps 20 --full --write'; --full needs wrk)
	@$(BIN)/python bench/swaps.py $(SWAPS)

canaries: $(VENV)/.dev ## 200 simulated releases, shadows and retirements of each kind: false alarms, what is caught (CANARIES=--write)
	@$(BIN)/python bench/canaries.py $(CANARIES)

watched: $(VENV)/.dev ## a year of flights under watch: false alarms, planted breaks (WATCHED=--write renews docs/monitoring.md)
	@$(BIN)/python bench/watched.py $(WATCHED)

bench-peers: $(BIN)/uv ## install the servers that bench compares with, each into an environment of its own
	@for peer in mlserver bentoml; do $(PYTHON) -m venv .bench/$$peer; \
	  $(BIN)/uv pip install --quiet --python .bench/$$peer/bin/python -r bench/$$peer.txt || exit 1; done

fmt: $(VENV)/.dev ## format the code
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

docs: $(VENV)/.dev ## write what is generated: schemas, REST, commands, events, settings, the topology drawing
	@$(BIN)/python -m shipway.cli.generate

asyncapi: ## AsyncAPI's own schema, from npm, which docs/asyncapi.json is tested against where it is there
	@npm install --silent --no-fund --no-audit --prefix .asyncapi @asyncapi/specs@6.11.1

airflow: $(BIN)/uv ## Airflow in an environment of its own, in which the example of a DAG is then tested
	@$(PYTHON) -m venv .airflow
	@$(BIN)/uv pip install --quiet --python .airflow/bin/python apache-airflow-core==3.3.2 confluent-kafka==2.16.1

site: $(VENV)/.dev ## build the documentation site into site/, every link held to be there (offline)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

OWN := shipway shipway-common $(patsubst services/%,shipway-%,$(wildcard services/*))
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --no-header $(foreach p,$(OWN),--no-emit-package $(p))
lock: $(BIN)/uv ## renew the hash-pinned locks (no address in them, so any index serves)
	@$(COMPILE) --upgrade pyproject.toml -o lock/runtime.txt
	@$(COMPILE) --upgrade -c lock/runtime.txt pyproject.toml --group dev -o lock/dev.txt
	@$(COMPILE) --upgrade -c lock/runtime.txt -c lock/dev.txt --group docs -o lock/docs.txt
	@$(COMPILE) --upgrade -c lock/dev.txt --group browser -o lock/browser.txt
	@$(COMPILE) --upgrade -c lock/runtime.txt --extra otel libs/common/pyproject.toml services/*/pyproject.toml \
	  -o lock/services.txt
	@$(COMPILE) --upgrade lock/uv.in -o lock/uv.txt

clean: ## remove .venv, caches and the embedded stack's data
	@rm -rf $(VENV) site .airflow .asyncapi .mypy_cache .ruff_cache .pytest_cache .hypothesis .shipway
