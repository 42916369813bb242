# Everything that a fresh machine needs is set up by the target that needs it.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
JS_SOURCES := $(shell find js/src -type f 2>/dev/null) js/package.json js/package-lock.json hatch_build.py pyproject.toml

.PHONY: demo lab test check soak bench clean

demo: $(VENV)/.installed ## hold the whole conversation without a browser, on the embedded model
	$(BIN)/backchannel demo

lab: $(VENV)/.tutorials ## open JupyterLab on the first notebook
	$(BIN)/jupyter lab notebooks/01-first-conversation.ipynb

test: check ## all checks and all tests; installs a browser if there is none
	$(BIN)/python scripts/browser.py
	$(BIN)/python -m pytest

check: $(VENV)/.developer ## linters, types, layers, and the tests of js/
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	cd js && npm run --silent check && npm test --silent

soak: $(VENV)/.developer ## the long tests in full: 10,000 random lives of each kind, 8 hours of audio in virtual time
	BACKCHANNEL_SOAK=1 $(BIN)/python -m pytest tests/fuzz

bench: $(VENV)/.developer ## every speed that we claim, beside its peer, as ratios
	$(BIN)/python -m pip install --quiet --group bench
	$(BIN)/python scripts/browser.py
	$(BIN)/python -m benchmarks

$(VENV)/.installed: $(JS_SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable ".[lab,local]"
	touch $@

$(VENV)/.developer: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --group dev
	touch $@

$(VENV)/.tutorials: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --group tutorials
	touch $@

clean: ## remove what the build made
	rm -rf $(VENV) dist build js/node_modules js/lib src/backchannel/_built .build
