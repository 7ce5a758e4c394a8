# Everything a person types. `make run` needs Rust, and crates.io the first time.
SHELL := /bin/bash
.DELETE_ON_ERROR:

SOURCES := $(shell find src -name '*.rs') Cargo.toml Cargo.lock scripts/build-wasm.sh
MODULE := target/wasm32-unknown-unknown/release/bound_service_account_tokens.wasm

# The request, or manifest, and the settings that `make run` shows; any other file will do.
REQUEST ?= tests/data/special/pod-create-plain.json
SETTINGS ?=

# kwctl where there is one; else our own stand-in, which prints the same.
KWCTL ?= $(or $(shell command -v kwctl),cargo xtask)
export KWCTL

# Lines that begin with `make:` are for people who wait; they go to standard error.
.PHONY: helper
helper:
	@[ -x target/debug/xtask ] || echo "make: compiling the program that runs the module, cargo xtask: minutes, the first time" >&2
	@[ -x target/debug/xtask ] || cargo build --locked --package xtask

.PHONY: run
run: policy.wasm helper ## Judge a real Pod and say what happened
	@cargo xtask run --explain --request-path $(REQUEST) $(if $(SETTINGS),--settings-path $(SETTINGS)) policy.wasm

# What `make check` judges, and with which settings or policy resources.
MANIFESTS ?=
NAMESPACE ?= default
POLICY ?=

.PHONY: check
check: policy.wasm helper ## Say what the policy would do to MANIFESTS; SETTINGS, POLICY and NAMESPACE as in docs/before-you-install.md
	@cargo xtask check --module policy.wasm --namespace $(NAMESPACE) $(if $(SETTINGS),--settings $(SETTINGS)) $(addprefix --policy ,$(POLICY)) $(MANIFESTS)

policy.wasm: $(SOURCES)
	@echo "make: compiling the module for WebAssembly, with all optimizations: minutes, the first time" >&2
	scripts/build-wasm.sh bound-service-account-tokens
	cp $(MODULE) $@

annotated-policy.wasm: policy.wasm policy-metadata.yml README.md
	$(KWCTL) annotate --metadata-path policy-metadata.yml --usage-path README.md --output-path $@ policy.wasm

artifacthub-pkg.yml: policy-metadata.yml questions-ui.yml
	cargo xtask artifacthub

.PHONY: push
push: annotated-policy.wasm ## Push the annotated module to IMAGE, over plain http if INSECURE names its registry
	cargo xtask push $(if $(INSECURE),--insecure-registry $(INSECURE)) $(IMAGE)

.PHONY: bench
bench: ## Instructions, size and memory, against a floor and a baseline; fails at a missed limit with CHECK=1
	scripts/build-wasm.sh bound-service-account-tokens
	scripts/build-wasm.sh bench-floor bench-typed
	cargo xtask bench $(if $(CHECK),--check)

.PHONY: fuzz
fuzz: ## Fuzz each target for SECONDS (600); needs the nightly toolchain and cargo-fuzz
	scripts/fuzz.sh $(or $(SECONDS),600)

.PHONY: test
test: ## Formatting, clippy, unit, integration and end-to-end tests
	@scripts/test.sh

.PHONY: test-chart
test-chart: ## The Helm chart, with real helm and kubectl: orders of steps, schemas, expressions, examples
	@scripts/test-chart.sh

.PHONY: examples
examples: ## Render examples/ of the chart
	@scripts/install-helm.sh
	@scripts/examples.sh

.PHONY: lint
lint: ## Formatting, clippy for the policy, and the files that are made of others
	cargo fmt --all --check
	cargo clippy --locked --package bound-service-account-tokens --all-targets -- --deny warnings
	cargo xtask artifacthub --check

# For the maintainers: the tools are installed into target/tools, once, which takes minutes.
TOOLS := target/tools
export PATH := $(PATH):$(CURDIR)/$(TOOLS)/bin

.PHONY: lint-all
lint-all: lint ## The same, clippy for the helper and all tests, the policy for dependencies, and the workflows
	cargo clippy --locked --workspace --all-targets -- --deny warnings
	cargo install --quiet --debug --locked --root $(TOOLS) cargo-deny@0.20.2 cargo-machete@0.9.2
	cargo deny --workspace --log-level error check licenses bans sources
	cargo machete
	python3 -m pip install --quiet --upgrade --target $(TOOLS)/python zizmor==1.32.0
	$(TOOLS)/python/bin/zizmor --quiet --offline .github/workflows

# The unit tests first, which are built and run in the least time; what they miss goes to the suites.
SUITES := field fixtures hostile reference requests
.PHONY: mutants
mutants: ## Change src/ in each place and see that a test fails; MUTANTS="--file src/lifetime.rs" for a part
	cargo install --quiet --debug --locked --root $(TOOLS) cargo-mutants@27.1.0
	rm -rf target/mutants.out
	-cargo mutants --package bound-service-account-tokens --output target -C --lib $(MUTANTS)
	cargo mutants --package bound-service-account-tokens --output target --iterate $(SUITES:%=-C --test=%) $(MUTANTS)

.PHONY: e2e-tests
e2e-tests: annotated-policy.wasm ## End-to-end tests on the annotated module, in kwctl or in its stand-in
	@scripts/install-e2e.sh
	cargo build --quiet --locked --package xtask
	cargo build --quiet --locked --package xtask-registry
	@echo "e2e-tests: the host is $$($(KWCTL) --version | head -n 1)"
	bats --timing --print-output-on-failure e2e.bats check.bats registry.bats release.bats

.PHONY: e2e
e2e: e2e-tests ## The same

.PHONY: sbom
sbom: ## The module's bill of materials, policy-sbom.cdx.json
	@scripts/sbom.sh

.PHONY: verify-reproducible
verify-reproducible: ## Build the module in two folders and compare the bytes
	@scripts/verify-reproducible.sh

.PHONY: clean
clean: ## Remove what was built
	cargo clean
	rm -f policy.wasm annotated-policy.wasm check-tokens-linux-*

.PHONY: help
help: ## This list
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14
