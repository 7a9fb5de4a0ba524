# Every target does its own set-up: a virtual environment in .venv, the package built and installed into it.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
RUST := Cargo.toml Cargo.lock pyproject.toml rust/core/Cargo.toml rust/pages/Cargo.toml rust/py/Cargo.toml \
	$(shell find rust/core/src rust/pages/src rust/py/src -name '*.rs')

.PHONY: demo test lint bench instructions wheel slow clean

demo: $(VENV)/built
	$(BIN)/crossbook demo --out demo
	cp demo/report.html report.html

test: $(VENV)/tested
	cargo fmt --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo test -p crossbook -p crossbook-pages
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps -p crossbook
	$(BIN)/ruff format --check python tests benches
	$(BIN)/ruff check python tests benches
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest crossbook._core
	$(BIN)/pytest -n logical --dist loadfile

lint: $(VENV)/tested
	cargo fmt
	cargo clippy --workspace --all-targets --fix --allow-dirty -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --workspace
	$(BIN)/ruff format python tests benches
	$(BIN)/ruff check --fix python tests benches

# All benches; rewrites benches/README.md. Some forty minutes on two quiet cores. Peers live in an environment of their own.
bench:
	$(PYTHON) -m venv target/bench
	target/bench/bin/pip install --quiet . -r benches/peers/requirements.txt pytest pytest-benchmark
	target/bench/bin/pip install --quiet --no-build-isolation lead-lag==2.3  # its build needs numpy and Cython there
	target/bench/bin/python -m benches.run

# Instruction counts of the hot paths against benches/instructions.json, under valgrind.
instructions:
	$(PYTHON) benches/instructions.py

# One abi3 wheel, installed into an empty environment, where it runs the demo.
wheel: $(VENV)/tested
	rm -rf dist
	$(BIN)/maturin build --release --out dist
	$(PYTHON) -m venv dist/venv
	dist/venv/bin/pip install --quiet --disable-pip-version-check dist/*.whl
	cd dist && venv/bin/crossbook demo --out demo

# What takes too long for every change: ten times the property tests' cases, a minute of fuzzing for every venue's file,
# 200,000 swaps against two public implementations, the fault campaign of 1,000 seeds (rewrites docs/faults.md), the market
# against its model on two million events, a soak of a quarter of an hour. Some 55 minutes.
slow: $(VENV)/tested
	CROSSBOOK_SLOW=10 CROSSBOOK_FUZZ_SECONDS=60 cargo test --release -p crossbook
	CROSSBOOK_SLOW=20 cargo test --manifest-path rust/peers/Cargo.toml
	$(BIN)/python -m tests.fakex.campaign --seeds 1000 --jobs 2 --table docs/faults.md
	$(BIN)/python -m tests.market.campaign --events 2000000
	$(BIN)/python -m tests.crosses.campaign --events 2000000
	$(BIN)/python -m tests.fakex.soak --seconds 900

clean:
	rm -rf $(VENV) target dist demo report report.html

$(VENV)/bin/pip:
	$(PYTHON) -m venv $(VENV)

$(VENV)/built: $(VENV)/bin/pip $(RUST)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	touch $@

# The package is there already: only the tools of its extra `test`, without building it again.
$(VENV)/tested: $(VENV)/built
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["test"], sep="\n")' > $(VENV)/test.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement $(VENV)/test.txt
	touch $@
