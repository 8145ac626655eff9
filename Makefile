# make demo   sets up .venv and runs the main job; ends in demo/report.html
# make test   sets up .venv and runs the tests
# make validate-quick   measures every rate in its quick form; make validate, in full
# make experiments-quick   the experiments in small; make experiments, in full (two hours).
#      MNIST=DIR names the folder with MNIST's files; without it that experiment is left out
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
MNIST ?= $(wildcard ../shared/data/mnist)
EXPERIMENTS = $(BIN)/python -m validation.experiments $(if $(MNIST),--data $(MNIST))

.PHONY: demo test validate validate-quick experiments experiments-quick lint clean

demo: $(STAMP)
	$(BIN)/fdiff demo --out demo

test: $(STAMP)
	$(BIN)/python -m pytest

validate-quick: $(STAMP)
	$(BIN)/python -m validation --quick --report report

validate: $(STAMP)
	$(BIN)/python -m validation --report report

experiments-quick: $(STAMP)
	$(EXPERIMENTS) --quick

experiments: $(STAMP)
	$(EXPERIMENTS) --full

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) demo report

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null 2>&1 || { \
	  echo "make: step 1 of 3 (interpreter) failed: no '$(PYTHON)' on the PATH." >&2; \
	  echo "      Install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "make: step 1 of 3 (interpreter) failed: $(PYTHON) is older than Python 3.11; name a newer one: make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "make: step 2 of 3 (virtual environment) failed; on Debian: apt-get install python3.11-venv" >&2; exit 1; }

$(STAMP): setup.cfg constraints.txt | $(BIN)/python
	@echo "make: installing into $(VENV) (once; about a minute)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[torch,cli,plot,xarray,dask,dev]' || { \
	  echo "make: step 3 of 3 (packages) failed: see pip's message above." >&2; \
	  echo "      A network or proxy problem: try again. No wheel for this platform: relax that line of constraints.txt." >&2; exit 1; }
	@touch $@
