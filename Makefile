# What people and CI run. Needs Python 3.11 or newer and make; everything else is fetched.

PYTHON ?= python3
# Where pip trusts an authority of the machine's, uv does too.
export UV_SYSTEM_CERTS ?= 1
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
CACHE := $(or $(UPSERTD_CACHE),.cache)
INSTALLED := $(VENV)/.installed

# A uv on the PATH may be a shim without a uv behind it: it has to answer.
UV := $(shell uv --version >/dev/null 2>&1 && echo uv || echo $(CACHE)/uv/bin/uv)
COMPILE = $(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate --no-header

.DEFAULT_GOAL := help
.PHONY: help install demo test lint bench bench-peers container-check prove requirements servers

help: ## list what there is
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

install: $(INSTALLED) ## build .venv from the hash-checked requirements

demo: install ## run the whole service on embedded parts, with traffic and faults; ARGS="--seconds 60"
	@$(BIN)/upsertd demo $(ARGS)

test: install ## run the tests; ARGS="tests/unit -k stale" chooses
	$(BIN)/pytest $(ARGS)

lint: install ## check style, formatting, types and who imports whom
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install ## measure upsertd against a naive consumer on real servers; ARGS="--quick" for a look
	@$(BIN)/python -m benchmarks $(ARGS)

bench-peers: install ## measure upsertd beside Debezium's JDBC sink and LOAD DATA; ARGS="--quick" for a look
	@$(BIN)/python -m benchmarks.peers $(ARGS)

container-check: install ## build the image and run it for real; finds or starts a Docker engine
	@$(BIN)/python -m tests.container

prove: install ## try to break every promise for MINUTES=10 and write build/proof/index.html; SEED=7 repeats
	@$(BIN)/python -m tests.faults.prove --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED)) $(ARGS)

requirements: | $(UV) ## pin the requirements of pyproject.toml anew, with hashes
	$(COMPILE) pyproject.toml -o requirements/run.txt
	$(COMPILE) pyproject.toml --extra demo --group dev -c requirements/run.txt -o requirements/dev.txt

servers: install ## run Kafka, Redis and MariaDB on loopback until Ctrl-C; or ARGS="--database postgresql"
	@$(BIN)/python -m tests.servers $(ARGS)

$(INSTALLED): requirements/run.txt requirements/dev.txt pyproject.toml | $(UV)
	@echo "installing into $(VENV), 10 to 20 seconds the first time" >&2
	@$(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)
	@$(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements/dev.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

# Only where there is no uv. pip into a folder of its own leaves the system's Python alone and needs no
# venv; a venv needs no pip.
$(CACHE)/uv/bin/uv:
	@$(PYTHON) -m pip install --quiet --root-user-action=ignore --target $(CACHE)/uv uv \
		|| { $(PYTHON) -m venv --clear $(CACHE)/uv && $(CACHE)/uv/bin/pip install --quiet uv; } \
		|| { echo "uv cannot be installed: put uv on the PATH, or give $(PYTHON) pip or venv" >&2; exit 1; }

# A uv of the PATH has no file to make.
uv:
	@:
