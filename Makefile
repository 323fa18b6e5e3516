# make run: the main job on the embedded data. make test, make lint: for developers. Both install what they need.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
CONFIG := quickstart
FLAGS :=

# -c does not reach an isolated build, so setuptools is pinned and installed first, and the build is not isolated.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: run test test-all lint clean

run: $(VENV)/.installed
	$(BIN)/danas run $(CONFIG) $(FLAGS)

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q -m "not slow"

test-all: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/ty check --python $(VENV)

# The stamps depend on the files that say what to install, so a second call installs nothing.
$(VENV)/.installed: setup.cfg constraints.txt | $(BIN)/python
	@echo "installing the pinned set into $(VENV), about a minute"
	$(PIP) setuptools
	$(PIP) --no-build-isolation -e .
	touch $@

$(VENV)/.installed-dev: setup.cfg constraints.txt | $(BIN)/python
	@echo "installing the pinned set into $(VENV), about a minute"
	$(PIP) setuptools
	$(PIP) --no-build-isolation -e ".[dev,report]"
	touch $@ $(VENV)/.installed

# The first of these that runs, is 3.11 or later and can make environments (Debian: apt-get install python3-venv).
$(BIN)/python:
	@for python in python3.13 python3.12 python3.11 python3; do \
	  if $$python -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	    echo "$$python -m venv $(VENV)"; exec $$python -m venv $(VENV); \
	  fi; \
	done; \
	echo "danas needs Python >= 3.11 with venv; on Debian: apt-get install python3 python3-venv" >&2; exit 1

clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
