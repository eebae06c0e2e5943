# Every target that needs .venv creates it.
PYTHON ?= python3
SUITE ?= benchmarks/quick.yaml

BIN := .venv/bin
INSTALLED := .venv/.installed
# One thread per process: parallel jobs with several threads each slow each other down.
export OMP_NUM_THREADS := 1
# Recipes read it from the environment, whatever letters it has; Snakemake takes it as YAML.
export SUITE
# Snakemake does not start without a cache that can be written, which a home need not be.
CACHE := $(shell for f in "$$XDG_CACHE_HOME" "$$HOME/.cache" "$$HOME"; do \
  [ -w "$$f" ] && exit; done; [ -z "$$HOME" ] || echo none)
ifneq ($(CACHE),)
export XDG_CACHE_HOME := $(CURDIR)/.cache
endif

.DEFAULT_GOAL := help
.PHONY: help run test lint docs clean

help: ## show this help
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s%s\n", $$1, $$2}' Makefile

run: $(INSTALLED) ## download the data, run the benchmark, print the leaderboard (SUITE=file.yaml)
	@$(BIN)/snakemake --config suite="\"$$SUITE\""
	@$(BIN)/ebm-bench show --suite "$$SUITE"

test: $(INSTALLED) ## run the tests (ARGS='-k name' selects some)
	@$(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(INSTALLED) ## check style, types and the workflow
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/snakefmt --check Snakefile workflow
	@$(BIN)/snakemake --lint
	@$(BIN)/mypy

docs: $(INSTALLED) ## build the documentation into site/ (to search it: python -m http.server -d site)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

clean: ## remove the environment and caches, but keep results
	rm -rf .venv .pytest_cache .ruff_cache .mypy_cache *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo 'Python 3.11 or newer is required; select one with make PYTHON=python3.12 ...'; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo 'The venv module of Python is required; on Debian: apt install python3-venv'; exit 2; }
	@echo 'Installing the locked versions into .venv; this takes a few minutes the first time'
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@$(BIN)/python -m compileall -q ebm_bench
	@touch $@
