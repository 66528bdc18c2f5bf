# Two environments: .venv holds what a user installs (no PyTorch), .venv-dev what developing and training need.
PYTHON ?= python3
MODERN = $(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Headstart needs Python 3.11 or later: make PYTHON=python3.12')"
.DEFAULT_GOAL := help

.PHONY: help demo serve test check clean

help:  ## what there is to do
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: .venv/installed  ## install the server, learn five new classes from real images, recognise others
	.venv/bin/python clients/demo.py

serve: .venv/installed  ## leave a server running on http://127.0.0.1:8000
	.venv/bin/headstart-server

test: .venv-dev/installed  ## every test but the slow ones (pytest -m slow)
	.venv-dev/bin/python -m pytest

check: .venv-dev/installed  ## style, types, import arrows
	.venv-dev/bin/ruff format --check .
	.venv-dev/bin/ruff check .
	.venv-dev/bin/mypy
	.venv-dev/bin/python -m pytest -q tests/test_architecture.py

clean:  ## remove both environments
	rm -rf .venv .venv-dev

.venv/installed: pyproject.toml clients/python/pyproject.toml
	@$(MODERN)
	$(PYTHON) -m venv --clear .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -e '.[cpu]' -e clients/python
	touch $@

.venv-dev/installed: pyproject.toml clients/python/pyproject.toml
	@$(MODERN)
	$(PYTHON) -m venv --clear .venv-dev
	.venv-dev/bin/python -m pip install --quiet --disable-pip-version-check -e '.[cpu,train,dev]' -e clients/python
	touch $@
