# Every target works from a clean clone: it makes .venv and installs, pinned, only what it needs.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
PINNED := -c constraints.txt

.DEFAULT_GOAL := help
# Two pips must not write one environment at once.
.NOTPARALLEL:
.PHONY: help demo test test-slow lint docs bench readme constraints clean

help:
	@echo "make demo | test | test-slow | lint | docs | bench | readme | constraints | clean"

demo: .venv/core.stamp
	$(BIN)/unnoise denoise examples/shadows.png -o out/demo/ --report --overwrite

test: .venv/dev.stamp
	$(BIN)/pytest -q

test-slow: .venv/dev.stamp
	$(BIN)/pytest -q -m slow

lint: .venv/dev.stamp
	$(BIN)/ruff check -q .
	$(BIN)/ruff format -q --check .
	$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

docs: .venv/docs.stamp
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@! grep -rEn --include='*.html' --include='*.css' '(src="|url\(|@import "|<link[^>]* href=")(https?:)?//' site \
		|| { echo "the pages above load something from outside: the documentation must work offline"; exit 1; }

bench: .venv/bench.stamp
	$(BIN)/unnoise bench photo
	$(BIN)/unnoise bench photo-gray
	$(BIN)/unnoise bench large
	$(BIN)/unnoise bench wavelets
	$(BIN)/unnoise bench tiling
	$(BIN)/unnoise bench jacobian
	$(BIN)/unnoise bench startup
	$(BIN)/unnoise bench samplers
	$(BIN)/unnoise bench guidance

# The table of papers in the README, from the committed reports.
readme: .venv/core.stamp
	$(BIN)/python docs/hooks.py

# The newest versions that the ranges of pyproject.toml admit, torch kept at the pinned one, resolved in a new venv.
constraints:
	rm -rf .venv/resolve
	$(PYTHON) -m venv .venv/resolve
	sed -n '/^torch==/p' constraints.txt > .venv/torch.txt
	.venv/resolve/bin/python -m pip install -qq -c .venv/torch.txt -e '.[train,bench,dev,docs]'
	sed -n '/^#/p' constraints.txt > .venv/constraints.txt
	.venv/resolve/bin/python -m pip freeze --all --exclude pip --exclude-editable | sed 's/+cpu$$//' >> .venv/constraints.txt
	mv .venv/constraints.txt constraints.txt
	rm -rf .venv/resolve .venv/torch.txt

clean:
	rm -rf .venv out site build dist runs .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

# A stamp goes stale when the dependencies or their pins change; the package itself is installed editable.
.venv/core.stamp: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing the pinned packages into .venv (once)"
	@$(PIP) install $(PINNED) -e .
	@touch $@

.venv/%.stamp: .venv/core.stamp
	@echo "installing the extra '$*'"
	@$(PIP) install $(PINNED) -e '.[$*]'
	@touch $@
