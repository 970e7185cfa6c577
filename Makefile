# The two commands of the README: make demo, make test. Each sets up all it needs.
PY      ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
STAMP   := $(VENV)/.installed

.PHONY: venv check lint types layers test clean

venv: $(STAMP)

$(STAMP): pyproject.toml
	$(PY) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

check: lint types layers
lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
types: venv
	$(BIN)/mypy
layers: venv
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
