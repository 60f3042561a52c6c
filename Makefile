# Everything a person types here. `make` alone prints the list.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help run test lint format docs bench count soak fuzz chaos clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: .venv/run.stamp ## install, get the default local model if it fits, start on 127.0.0.1:7864
	@$(BIN)/rung models pull default --if-fits || echo "no local model yet; the gateway starts without its local rung" >&2
	@exec $(BIN)/rung serve

test: .venv/test.stamp ## the whole suite, with coverage
	@$(BIN)/coverage run -m pytest; failed=$$?; $(BIN)/coverage report; exit $$failed

lint: .venv/test.stamp ## style, types, the one-way rule, sizes
	@failed=0; for check in "ruff check" "ruff format --check" mypy "lint-imports --no-logo" "python scripts/size_report.py"; do \
		echo "== $$check"; $(BIN)/$$check || failed=1; \
	done; exit $$failed

format: .venv/test.stamp ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/test.stamp ## run every code block of the documentation
	$(BIN)/python scripts/run_docs.py README.md README.fr.md docs

bench: .venv/test.stamp ## the benchmark suite (a quiet machine and a C compiler help)
	$(BIN)/python benchmarks/wire/bench_client.py
	$(BIN)/python benchmarks/gateway/run.py
	$(BIN)/rung bench tools --data benchmarks/tools/held_out.jsonl

count: .venv/test.stamp ## instructions a call costs, against the baseline (valgrind; a minute)
	$(BIN)/python benchmarks/callgrind/count.py --install

fuzz: .venv/fuzz.stamp ## a million raw requests, a million JSON bodies, 20,000 calls made from the API's description (half an hour; a short form is in the tests)
	$(BIN)/python -m fuzz.fuzz_http --inputs 1000000
	$(BIN)/python -m fuzz.fuzz_json --inputs 1000000
	$(BIN)/python -m fuzz.fuzz_openapi --examples 20000

chaos: .venv/test.stamp ## thousands of calls while every simulated provider breaks (minutes; a short form is in the tests)
	$(BIN)/python -m benchmarks.chaos.chaos

soak: .venv/test.stamp ## a million mixed calls against one process: memory, leaks, ledger (ten minutes)
	$(BIN)/python benchmarks/soak/soak.py --calls 1000000

clean: ## remove what make made
	rm -rf .venv .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage dist build

# A stamp is older than pyproject.toml only when the dependencies may have changed; otherwise no pip, no network.
.venv/bin/python:
	@PYTHON="$(PYTHON)" sh scripts/venv.sh $(or $(firstword $(MAKECMDGOALS)),run)

.venv/run.stamp: pyproject.toml .venv/bin/python
	@echo "installing rung, its tools and its local engine into .venv (once, a minute or two)"
	@$(PIP) -e '.[local,tools]'
	@touch $@

.venv/test.stamp: pyproject.toml .venv/bin/python
	@echo "installing rung and everything its tests need into .venv (once, a minute or two)"
	@$(PIP) -e '.[local,tools,proxy,test]'
	@touch $@ .venv/run.stamp

.venv/fuzz.stamp: .venv/test.stamp
	@echo "installing schemathesis into .venv (once)"
	@$(PIP) -e '.[fuzz]'
	@touch $@
