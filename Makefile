# Kangdock. `make setup` and then `make demo` is all a fresh Debian or Raspberry Pi OS machine needs.
# The work is done in Python (cloud/demo); this file only names it.

SHELL := /bin/sh
VENV := .venv/bin
# What `cloud.demo.debian` had to unpack is found like anything else, after the machine's own.
export PATH := $(PATH):$(CURDIR)/.cache/debian/bin
# The first interpreter that is new enough. PYTHON=/path/to/python3.12 make setup overrides it.
PYTHON ?= $(shell for p in python3.11 python3 python3.13 python3.12 python3.14; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)

.PHONY: help setup demo test check fmt bench hil clean

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-16s%s\n", $$1, $$2}'

setup:  ## .venv with everything in it; nothing to do takes no time
	@test -n "$(PYTHON)" || { echo "Kangdock needs Python 3.11 or newer: apt-get install python3"; exit 1; }
	@$(PYTHON) -m cloud.demo.environment

demo: setup  ## a whole chain on this machine, with customers docking meters; Ctrl-C ends it
	@exec $(VENV)/python -m cloud.demo.run

test: setup  ## every test, and the name and reason of each one that was skipped
	@$(VENV)/python -m cloud.demo.debian test
	@$(VENV)/python -m pytest $(ARGS)

check: setup  ## style, types, who imports whom, translations, generated files
	@$(VENV)/python -m cloud.demo.check

fmt: setup  ## what `make check` would ask for, where a tool can do it
	@$(VENV)/ruff check --fix-only -q .
	@$(VENV)/ruff format -q .

bench: setup  ## one JSON line per figure
	@$(VENV)/python -m cloud.demo.debian demo >&2
	@$(VENV)/python -m hil_tests.bench

hil: setup  ## the long tests: a real bluetoothd, power cuts, a siege of 200 kills (ARGS=20 for fewer), a trade
	@$(VENV)/python -m cloud.demo.debian test
	@$(VENV)/python -m hil_tests.guest fetch
	@exec $(VENV)/python -m hil_tests $(ARGS)

clean:  ## stops what is left of a demo and removes everything that was made here
	@test -z "$(PYTHON)" || $(PYTHON) -m cloud.demo.processes
	@rm -rf .venv .cache build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
