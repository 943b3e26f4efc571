# `make demo` and `make test` do everything from a fresh clone: Python >= 3.11 and a C compiler is all they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?= --for 60s
PYTEST ?=
FOR ?= 60s
SEED ?= 1

.PHONY: install demo test check soak coverage mutants fuzz clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml setup.py $(wildcard firmware_bridge/firmware/core/*.[ch] firmware_bridge/firmware/hal/posix/*.[ch])
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Station needs Python 3.11 or later")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

demo: install
	@$(BIN)/station demo $(ARGS)

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PYTEST)

# Lives of a link with a hostile wire, judged from outside; nonzero when any window was broken.
soak: install
	$(BIN)/python -m tests.tools.soak --for $(FOR) --seed $(SEED)

# The firmware core: branches its tests take, and damaged frames under the sanitizers (needs gcc with libasan).
coverage: install
	$(MAKE) -C firmware_bridge/firmware coverage

# Small changes to the core, all in one library; exit 1 for one that no test notices and survivors.toml does not explain.
mutants: install
	$(MAKE) -C firmware_bridge/firmware mutants SHARE=$(or $(SHARE),1.0) SEED=$(SEED)

fuzz: install
	$(MAKE) -C firmware_bridge/firmware fuzz FOR=$(FOR) SEED=$(SEED) FRAMES=$(or $(FRAMES),0)

clean:
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
