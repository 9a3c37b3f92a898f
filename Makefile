# `make demo` and `make test` are all that a new machine needs; they make .venv first.
PYTHON ?= python3
PIP = .venv/bin/python -m pip --disable-pip-version-check

.PHONY: help demo test test-long lint bench clean

help:          ## this list
	@grep -hE '^[a-z-]+: .*##|^[a-z-]+: +##' $(MAKEFILE_LIST) | sed 's/:.*##/:/'

demo: .venv/installed ## generated rooms to shards, a small model trained for minutes, a held-out scene reconstructed
	.venv/bin/zipmap demo

# Three processes, because tests often wait for others or for the disk; the tests of a file stay together, because they share
# what is expensive to make.
test: .venv/installed-test ## the tests
	.venv/bin/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

test-long: .venv/installed-test-long ## the tests that take minutes
	.venv/bin/python -m pytest -m long

lint: .venv/installed-test ## ruff and mypy
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	sh .ci/typecheck

bench: .venv/installed-bench ## seconds and memory over the number of views, to runs/runtime
	.venv/bin/python benchmarks/runtime.py --output runs/runtime

clean:         ## remove .venv and caches, never shards or runs
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache

.venv/python:
	$(PYTHON) -m venv .venv
	touch $@

.venv/installed: .venv/python setup.cfg
	$(PIP) install --quiet -e .
	touch $@

.venv/installed-test: .venv/python setup.cfg
	$(PIP) install --quiet -e .[test,lint]
	touch $@ .venv/installed

.venv/installed-test-long: .venv/installed-test
	$(PIP) install --quiet -e .[test-long]
	touch $@

.venv/installed-bench: .venv/installed
	$(PIP) install --quiet -e .[bench]
	touch $@
