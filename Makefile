# Everything runs in .venv; `make demo` and `make test` need nothing but Python ≥ 3.11.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL = $(BIN)/python -m pip install --quiet --constraint constraints.txt
# A file stays in one process, which then compiles its theories once
TEST_FLAGS ?= -n 2 --dist loadfile

.PHONY: demo test quick long lint bench docs notebooks clean

demo: $(VENV)/demo-installed
	rm -rf demo/gaussian_mixture
	$(BIN)/sesamo-dsl train gaussian_mixture --backend jax --set h=0.1 --steps 400 \
		--directory demo/gaussian_mixture --plot demo/gaussian_mixture.png

test: $(VENV)/dev-installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(TEST_FLAGS)

quick: $(VENV)/dev-installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(TEST_FLAGS) -m "not slow and not long"

long: $(VENV)/dev-installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(TEST_FLAGS) -m long

lint: $(VENV)/dev-installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/pyright

bench: $(VENV)/dev-installed
	$(BIN)/python benchmarks/run.py

notebooks: $(VENV)/dev-installed
	OMP_NUM_THREADS=1 $(BIN)/python examples/notebooks/execute.py

docs: $(VENV)/docs-installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) demo site

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "sesamo-dsl needs Python 3.11 or newer; name one with: make PYTHON=python3.12 …" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# JAX alone is the light installation: its wheels are CPU-only unless asked otherwise.
$(VENV)/demo-installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing sesamo-dsl with JAX into $(VENV) …"
	$(PIP_INSTALL) --editable '.[jax]'
	@touch $@

$(VENV)/dev-installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing sesamo-dsl with both backends and the test tools into $(VENV) …"
	$(PIP_INSTALL) --editable '.[dev]'
	@touch $@

# The examples of the page of errors are run, and one of them compiles for PyTorch.
$(VENV)/docs-installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing sesamo-dsl with PyTorch and what builds its site into $(VENV) …"
	$(PIP_INSTALL) --editable '.[torch,docs]'
	@touch $@
