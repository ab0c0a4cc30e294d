# Two commands: `make poster` builds the example report, `make test` runs every check. Each works alone on a fresh
# Debian machine with python3 and make.

PYTHON ?= python3
BIN := .venv/bin
SPEC ?= specs/poster.yaml

.PHONY: poster mini test lint clean

poster: .venv/installed
	@$(BIN)/reportgen fetch $(SPEC) || echo "going on with the weights that are here"
	$(BIN)/reportgen build $(SPEC)

mini: .venv/installed
	$(BIN)/reportgen build specs/mini.yaml

test: .venv/installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto

lint: .venv/installed-test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/mypy

.venv/bin/python:
	@sh .ci/system-packages venv
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml
	@sh .ci/system-packages pango
	$(BIN)/python -m pip install -qq --disable-pip-version-check -e .
	@touch $@

.venv/installed-test: .venv/bin/python pyproject.toml
	@sh .ci/system-packages pango poppler
	$(BIN)/python -m pip install -qq --disable-pip-version-check -e '.[test]'
	@sh .ci/browser $(BIN)/python
	@touch $@ .venv/installed

clean:
	rm -rf .venv dist build site/*/ site/index.html
