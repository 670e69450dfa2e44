# What a person does from a checkout. Needs make, python3 (3.11 or later) and a package index.
# Everything is put into .venv: nothing outside the checkout is changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
POSTGRES15_BIN ?= /usr/lib/postgresql/15/bin
# for example: make test PYTEST_ARGS="-k lease"
PYTEST_ARGS ?=

COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --custom-compile-command "make lock"

.PHONY: setup help demo serve test test-deep test-postgres15 check format bench lock

setup: $(READY) ## make the environment in .venv

# The stamp says that the environment is the lock's, with this checkout in it.
$(READY): pyproject.toml requirements-build.lock requirements-dev.lock .ci/setup
	@PYTHON="$(PYTHON)" VENV="$(VENV)" sh .ci/setup
	@touch $@

help: ## list these commands
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/make \1	\2/p' Makefile | expand -t 24

demo: setup ## run the main job on real data and print what it found
	$(BIN)/overrule demo

serve: setup ## start the service with its own PostgreSQL
	$(BIN)/overrule serve

test: setup ## run all tests
	$(BIN)/pytest -n 2 $(PYTEST_ARGS)

test-deep: setup ## run the tests with many more examples for every property
	$(BIN)/pytest -n 2 --hypothesis-profile=deep --timeout=1800 $(PYTEST_ARGS)

test-postgres15: setup ## run the store and migration tests on PostgreSQL 15
	@test -x $(POSTGRES15_BIN)/initdb || { \
	  echo "No PostgreSQL 15 in $(POSTGRES15_BIN). Install Debian's postgresql-15, or name" \
	    "another folder: make test-postgres15 POSTGRES15_BIN=..." >&2; exit 1; }
	TEST_POSTGRES_BIN=$(POSTGRES15_BIN) $(BIN)/pytest tests/store tests/migrations \
	  --ignore=tests/store/test_embedded.py $(PYTEST_ARGS)

check: setup ## check format, lint, types, imports and the OpenAPI document
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/overrule openapi --check

format: setup ## format the code, and mend what the linter can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup ## measure this machine, each figure beside a baseline of the same run
	$(BIN)/overrule bench

lock: setup ## choose all versions anew, as after a change of the dependencies
	$(COMPILE) --upgrade pyproject.toml --group build --group demo --group dev \
	  --output-file requirements-dev.lock
	$(COMPILE) --upgrade pyproject.toml --constraints requirements-dev.lock \
	  --output-file requirements.lock
	$(COMPILE) --upgrade --group build --constraints requirements-dev.lock \
	  --output-file requirements-build.lock
