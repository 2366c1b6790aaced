# The two commands of the README, `make demo` and `make test`, and what they share.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
JOBS ?= 2
export PYTHONHASHSEED := 0

.PHONY: help setup demo test test-all lint formal docs benchmarks trend performance reports area-data clock-data model-errors exploration \
	scaling waves clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/:/' | column -t -s:

setup: $(READY) ## create .venv from the lock files

$(READY): requirements.lock requirements-simulator.lock pyproject.toml scripts/check_tools.sh
	@PYTHON=$(PYTHON) sh scripts/check_tools.sh
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --ignore-requires-python --no-deps \
		--only-binary :all: -r requirements-simulator.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY) ## classify handwritten digits on the RTL, then Verilog, area and clock
	@$(BIN)/python scripts/demo.py

test: $(READY) lint ## everything that a change must pass
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -q -m "not slow"

test-all: $(READY) lint ## the slow tests too
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -q

lint: $(READY) ## style
	@$(BIN)/ruff check --quiet .

formal: $(READY) ## prove properties of the RTL for all inputs, and refute a mutant of each (minutes)
	@$(BIN)/python -m systolith_formal --record --json build/formal.json

docs: $(READY) ## regenerate the generated pages
	@$(BIN)/python scripts/generate_docs.py

benchmarks: $(READY) ## write docs/benchmarks.json anew: cycles of each benchmark
	@$(BIN)/python -m systolith_sim.benchmarks

trend: $(READY) ## area, clock and speed on boards, in docs/boards.md and README.md (up to hours where nothing is cached)
	@$(BIN)/python scripts/generate_trend.py

performance: $(READY) ## measure and draw docs/performance.md (about ten minutes)
	@$(BIN)/python scripts/generate_performance.py

area-data: $(READY) ## measure what the area model is fitted to, where the Verilog has changed (about 20 minutes)
	@$(BIN)/python -m systolith_explore.area_measure

clock-data: $(READY) ## route what the clock model is fitted to, where no result is kept (up to half an hour)
	@$(BIN)/python -m systolith_explore.clock_measure

model-errors: $(READY) ## compare the models of `explore` with what was measured, in docs/explore.md
	@$(BIN)/python -m systolith_explore.model_errors

waves: $(READY) ## draw docs/figures/tile.svg from a waveform of the RTL
	@$(BIN)/python scripts/generate_waves.py

scaling: $(READY) ## draw docs/scaling.md: several cores that share one memory
	@$(BIN)/python scripts/generate_scaling.py

SYSTOLITH_MODELS ?= ../shared/models
NETWORKS ?= pretrainedResnet_quant kws_ref_model vww_96_int8 ad01_int8
CONFIG ?= small-8x8
BUDGET ?= 60
reports: $(READY) ## a report of each MLPerf Tiny network in build/reports, from runs on the RTL
	@for network in $(NETWORKS); do \
		$(BIN)/systolith run $(SYSTOLITH_MODELS)/$$network.tflite --config $(CONFIG) --json build/$$network.json && \
		$(BIN)/systolith report build/$$network.json --out build/reports/$$network || exit 1; \
	done

exploration: $(READY) ## what to build for MLPerf Tiny on three boards, confirmed, in docs/explore.md (up to an hour)
	@mkdir -p build/exploration
	@for board in ulx3s-85f orangecrab-25f icebreaker; do \
		$(BIN)/systolith explore $(NETWORKS:%=$(SYSTOLITH_MODELS)/%.tflite) --board $$board --budget $(BUDGET) \
			--out build/exploration/$$board --json build/exploration/$$board.json || test $$board = icebreaker || exit 1; \
	done
	@$(BIN)/python scripts/generate_exploration.py build/exploration

.PHONY: fuzz mutants coverage gates nightly
$(VENV)/.fuzz: $(READY) requirements-fuzz.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-fuzz.lock
	@touch $@

fuzz: $(VENV)/.fuzz ## 100 000 damaged .tflite and image files (about ten minutes)
	@$(BIN)/python -m systolith_sim.fuzz --record --json build/fuzz.json

mutants: $(READY) ## mutants of each module of the RTL against its tests (an hour; continues where it stopped)
	@$(BIN)/python -m systolith_sim.mutants --record --json build/mutants.json

coverage: $(READY) ## functional cover points, lines and toggles of the RTL (half an hour)
	@$(BIN)/python -m systolith_sim.rtl_coverage --record --json build/coverage.json

gates: $(READY) ## synthesised netlists of each FPGA family run a network (half an hour)
	@$(BIN)/python -m systolith_sim.gates --record --json build/gates.json

nightly: $(READY) ## random networks on every level, until interrupted
	@$(BIN)/python -m systolith_sim.nightly --record --json build/nightly.json

clean: ## remove the environment and everything built
	rm -rf $(VENV) build .pytest_cache .ruff_cache .hypothesis
