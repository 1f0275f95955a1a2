# Every task of the project. Needs git, make, Python 3.11 or newer and the package registry.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
NOTEBOOKS := $(wildcard notebooks/*.ipynb)
BENCHMARKS := $(wildcard benchmarks/bench_*.py)

NOTEBOOK_LOG := $(VENV)/notebooks.log

# A kernel picks the inline backend, which is what shows figures, only where MPLBACKEND is unset.
IN_NOTEBOOK := env -u MPLBACKEND

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format baseline notebooks reports bench lab clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(INSTALLED) ## Create .venv with the pinned packages; does nothing when it is up to date

$(INSTALLED): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "twofa-lab needs Python 3.11 or newer, and there is no $(PYTHON); name one: make setup PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "twofa-lab needs Python 3.11 or newer, and $(PYTHON) is %d.%d; name another: make setup PYTHON=python3.12" % sys.version_info[:2])'
	@$(BIN)/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	@echo "Installing the packages of constraints.txt into $(VENV); the first time takes a minute or two."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: setup ## Universal or risk-based? Generate traffic, compare, write reports/step-up-decision.html
	@$(BIN)/twofa-lab demo

test: setup ## Run all tests: unit, functional, baseline, doctests, and beside them the notebooks
	@echo "The notebooks run beside the tests; what they say comes last ($(NOTEBOOK_LOG))."
	@$(IN_NOTEBOOK) $(BIN)/pytest --nbval --nbval-current-env --nbval-cell-timeout=300 notebooks/ >$(NOTEBOOK_LOG) 2>&1 & \
	notebooks=$$!; MPLBACKEND=Agg $(BIN)/pytest; tests=$$?; \
	wait $$notebooks; compared=$$?; cat $(NOTEBOOK_LOG); exit $$((tests | compared))

lint: setup ## Check style, formatting and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: setup ## Rewrite the source in the project's format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

baseline: setup ## Refresh the frozen headline figures; CHANGELOG.md must then say why they changed
	$(BIN)/python -m tests.baseline.refresh

notebooks: setup ## Execute every notebook again, in place
	$(IN_NOTEBOOK) $(BIN)/jupyter nbconvert --to notebook --execute --inplace --ExecutePreprocessor.record_timing=False $(NOTEBOOKS)

reports: demo ## Write every report: the demo's, and what the notebooks export
	$(IN_NOTEBOOK) $(BIN)/jupyter execute $(NOTEBOOKS)
	@ls reports

bench: setup ## Measure speed and memory: run every benchmarks/bench_*.py
	@set -e; for bench in $(BENCHMARKS); do echo "== $$bench"; $(BIN)/python $$bench; done

lab: setup ## Open JupyterLab on the notebooks
	$(BIN)/jupyter lab notebooks

clean: ## Remove caches and generated reports; keeps .venv and runs/
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -path ./$(VENV) -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +
	find reports -type f ! -name .gitkeep -delete
