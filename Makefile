# make check runs what CI runs, but for the installation.
.PHONY: check test
PYTHON ?= python

check:
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy --strict gpt_teacher
	$(PYTHON) -m pytest
	$(PYTHON) -m pytest -m slow

test:
	$(PYTHON) -m pytest
