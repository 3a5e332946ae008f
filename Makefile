# Every target makes its own virtual environment in .venv first, once, from constraints.txt.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.ONESHELL:

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYTHONPATH := $(CURDIR)/e2e
export PIP_DISABLE_PIP_VERSION_CHECK := 1

PYTEST_ARGS ?=

.PHONY: help venv demo test test-fast lint bench bench-compare bench-envoys bench-montecarlo mesh crds constraints chart clean

help: ## Show this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

$(STAMP): constraints.txt pyproject.toml
	@python=$$(scripts/find-python)
	echo "Making $(VENV) with $$($$python -V) ..."
	$$python -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --no-compile --only-binary :all: --require-hashes -r constraints.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

venv: $(STAMP) ## Make the virtual environment

demo: $(STAMP) ## One healthy and two broken releases on a real mesh, in under 4 minutes
	@echo "Bringing up the mesh: API server, controllers, istiod, Prometheus ..."
	python -m localmesh run --name demo -- python -m demo

test: $(STAMP) ## Everything: lint, types, unit, contract and chart tests, scenarios on the local mesh
	@scripts/test $(PYTEST_ARGS)

test-fast: $(STAMP) ## The tests that need no mesh
	@python -m pytest -n auto tests/unit tests/controller $(PYTEST_ARGS)

lint: $(STAMP) ## Style, types, layers, and drift of generated files
	@scripts/lint

bench: $(STAMP) ## The benchmarks of the README, on the local mesh
	@python -m localmesh run --name bench -- python -m bench

bench-compare: $(STAMP) ## Our engine against the usual policies, simulated (5 minutes, no mesh)
	@python -m bench.compare

bench-envoys: $(STAMP) ## What reading Envoys adds to a proof (sync.verify: envoy), on the local mesh
	@python -m localmesh run --name bench -- python -m bench.envoys

bench-montecarlo: $(STAMP) ## How often healthy releases are rolled back, in 38,000 simulated rollouts (one to two hours, no mesh)
	@python -m bench.montecarlo

mesh: $(STAMP) ## A mesh to play with until Ctrl-C
	@python -m localmesh up

crds: $(STAMP) ## Regenerate the CRD and the reference pages
	@python -m canaryrollout.api.crd
	python -m canaryrollout.api.reference
	python scripts/generate.py

chart: $(STAMP) ## Regenerate deploy/kustomize and deploy/observability from the chart
	@python scripts/kustomize.py

constraints: ## Pin the newest allowed versions of all dependencies
	@scripts/constraints --upgrade

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
