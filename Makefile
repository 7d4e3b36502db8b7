# Any Python from 3.11 on, the first of these that works; PYTHON=/path/to/python names one.
PYTHON ?= python3.13 python3.12 python3.11 python3

# Modules are run through the interpreter, never through .venv's scripts: those break in very long paths.
venv := .venv/bin/python
code := relay tests bench
lock = $(venv) -m uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header \
	--python-version 3.11 pyproject.toml --group build

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev run test check fix bench lock

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

# The interpreter is tried, not looked for: a name on the PATH may be a shim with nothing behind it.
define install
	@for python in $(PYTHON); do \
		if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			exec "$$python" requirements/install.py $(1); \
		fi; \
	done; \
	echo 'No Python 3.11 or newer with its venv module was found; tried: $(PYTHON).' >&2; \
	echo 'Install one (on Debian and Ubuntu: apt install python3 python3-venv), or name one: make PYTHON=/path/to/python …' >&2; \
	exit 1
endef

setup: ## Make .venv with the relay command in it
	$(call install,run)

setup-dev: ## The same, with the tools for working on Relay
	$(call install,dev)

run: setup ## Start the server (ARGS="--port 9000" and the like)
	@exec $(venv) -m relay serve --config config.yaml $(ARGS)

test: setup-dev ## Run the tests (ARGS="tests/unit -k name")
	@$(venv) -m pytest $(ARGS)

check: setup-dev ## Lint, types, the direction of imports, addresses in locks
	@$(venv) -m ruff check .
	@$(venv) -m ruff format --check .
	@$(venv) -m mypy $(code)
	@$(venv) -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'
	@if grep -nE '://|^-' requirements/*.lock; then echo 'A lock names no index: see above.' >&2; exit 1; fi

fix: setup-dev ## Mend what ruff can mend, and format
	@$(venv) -m ruff check --fix .
	@$(venv) -m ruff format .

bench: setup-dev ## Measure (ARGS for one of the measurements)
	@$(venv) -m bench $(ARGS)

lock: setup-dev ## Bring requirements/ up to pyproject.toml (ARGS=--upgrade for newer versions)
	$(lock) $(ARGS) --output-file requirements/run.lock
	$(lock) $(ARGS) --group dev --constraint requirements/run.lock --output-file requirements/dev.lock
