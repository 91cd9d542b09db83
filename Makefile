# Two targets set everything up: `make demo` and `make test`. The others are for those who change perfwatch.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CLANG ?= clang-14
LLVM_OBJCOPY ?= llvm-objcopy-14
# What holds measured figures to others runs alone, after all other tests; those run beside each other, two more than there
# are CPUs, since many wait.
ALONE := tests/agent/middleware tests/agent/test_collector.py tests/examples/test_load.py \
	$(filter-out tests/faults/test_deadlocks.py,$(wildcard tests/faults/test_*.py)) \
	$(addprefix tests/probes/cpython/test_,calls.py gil.py python.py walk.py) \
	$(addprefix tests/probes/ledger/test_,capacity.py code.py collections.py following.py live.py live_calls.py live_ring.py) \
	$(addprefix tests/probes/pauses/test_,live.py probe.py) tests/probes/readers/test_thread_files.py \
	tests/probes/sampled/test_live.py tests/probes/stacks/test_probe.py tests/probes/tasks/test_probe.py \
	$(wildcard tests/probes/test_*.py) \
	$(addprefix tests/probes/wire/test_,connections.py handshakes.py requests.py) tests/test_killed.py tests/test_remote.py
BPF_SOURCES := probes/ledger/ledger.bpf.c probes/block/block.bpf.c
BPF_OBJECTS := $(BPF_SOURCES:.bpf.c=.x86_64.bpf.o) $(BPF_SOURCES:.bpf.c=.aarch64.bpf.o)
MULTIARCH = $(shell $(CC) -print-multiarch)

.PHONY: demo test check faults accuracy benchmark bpf offsets reference picture clean help

help:
	@echo "make demo       see it work: a demo server under load, and perfwatch on it"
	@echo "make test       install what the tests need, and run them (about 16 minutes)"
	@echo "make check      only the linters and type checkers"
	@echo "make faults     every planted fault, on every kind of server, and all that takes long"
	@echo "make accuracy   measure how often verdicts are right, and write docs/accuracy.md (50 minutes)"
	@echo "make benchmark  measure what everything costs, and write docs/benchmarks*.md"
	@echo "make bpf        build the BPF object (clang 14, libbpf-dev)"
	@echo "make offsets    derive where an interpreter keeps its fields (the interpreters of pyenv, a C compiler)"
	@echo "make reference  write docs/reference.md, recording.md, errors.md and the manual pages anew"
	@echo "make picture    draw the pictures of the screens and of the report anew"

demo: $(VENV)/installed-demo
	@$(BIN)/perfwatch demo

test: $(VENV)/installed-tests
	@tests/install-tools
	$(MAKE) --no-print-directory check
	$(BIN)/pytest -m "not slow" -n $$(($$(nproc) + 2)) --dist loadfile $(ALONE:%=--ignore=%); beside=$$?; \
		$(BIN)/pytest -m "not slow" -p no:xdist $(ALONE) && exit $$beside

check: $(VENV)/installed-tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

faults: $(VENV)/installed-tests
	@tests/install-tools
	$(BIN)/pytest -m "fault or slow" -p no:xdist

accuracy: $(VENV)/installed-tests
	@tests/install-tools
	$(BIN)/python benchmarks/faults.py --write

benchmark: $(VENV)/installed-tests
	@tests/install-tools
	$(BIN)/python benchmarks/overhead.py --write
	$(BIN)/python benchmarks/loops.py --write
	$(BIN)/python benchmarks/cleartext.py --write
	$(BIN)/python benchmarks/correlator.py --write
	$(BIN)/python benchmarks/probes.py --write
	$(BIN)/python benchmarks/stacks.py --write
	$(BIN)/python benchmarks/session_size.py --write
	$(BIN)/python benchmarks/seeking.py --write
	$(BIN)/python benchmarks/tui.py --write
	$(BIN)/python benchmarks/canvas.py --write

bpf: $(BPF_OBJECTS)

# Line tables of paths that do not exist carry no source text: the object is small, and the same wherever it is built.
%.x86_64.bpf.o: BPF_ARCH := x86
%.aarch64.bpf.o: BPF_ARCH := arm64
.SECONDEXPANSION:
$(BPF_OBJECTS): %.bpf.o: $$(wildcard $$(@D)/*.bpf.[ch])
	$(CLANG) -g -gno-column-info -O2 -Wall -Werror -target bpf -D__TARGET_ARCH_$(BPF_ARCH) -I/usr/include/$(MULTIARCH) \
		-fdebug-prefix-map=$(CURDIR)=/perfwatch -c $(basename $*).bpf.c -o $@
	$(LLVM_OBJCOPY) --strip-debug --remove-section .rel.BTF.ext --remove-section .llvm_addrsig \
		--wildcard --strip-symbol 'LBB*' $@

offsets: $(VENV)/installed-tests
	$(BIN)/python -m perfwatch.probes.cpython.derive

reference: $(VENV)/installed-tests
	$(BIN)/python docs/make_reference.py
	$(BIN)/python docs/make_man.py

picture: $(VENV)/installed-tests
	$(BIN)/python docs/draw_picture.py

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache

# The environments. A stamp each, so that a second run starts at once; pyproject.toml says what belongs in them.

$(VENV)/bin/pip:
	@./tests/require-system $(PYTHON)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade 'pip>=25.1'

$(VENV)/installed-demo: $(VENV)/bin/pip pyproject.toml
	$(BIN)/pip install --quiet --editable '.[demo]'
	@touch $@

$(VENV)/installed-tests: $(VENV)/installed-demo pyproject.toml
	$(BIN)/pip install --quiet --group dev
	@touch $@
