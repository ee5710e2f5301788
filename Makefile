# oomtrace: "make help" lists the targets. Everything that CI and the Vagrant VM
# do is a target here.

SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS   += --no-print-directory

GO      ?= go
CLANG   ?= clang
KERNELS ?= 5.10 6.1 6.12 7.x 6.1-arm64
KERNEL  ?= 6.12
BUILD   := build
RESULTS := $(BUILD)/results
SCENARIO ?=
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS := -s -w -X main.version=$(VERSION)

export PATH := $(HOME)/.cache/oomtrace/go/bin:$(PATH):/usr/local/go/bin
export CGO_ENABLED := 0
# A release holds this Go's standard library, and make vulncheck judges it: the one of go.mod,
# fetched where it is not there. Another: make GOTOOLCHAIN=local.
export GOTOOLCHAIN := $(shell sed -n 's/^toolchain //p' go.mod)

.DEFAULT_GOAL := build

.PHONY: all help test-total deps deps-test build demo test test-unit test-page test-host test-vm lint lint-licence vulncheck lab vagrant-validate vagrant-test \
	generate man check-generated fmt fuzz mutants bench size picture clean release install

all: build test ## build and test

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

deps: ## install what building needs (Debian, Ubuntu)
	@scripts/deps.sh build

deps-test: ## install what the tests need
	@scripts/deps.sh build test

build: deps ## build build/oomtrace
	$(GO) build -tags grpcnotrace -trimpath -ldflags "$(LDFLAGS)" -o $(BUILD)/oomtrace ./cmd/oomtrace

install: build ## install oomtrace to /usr/local/bin
	install -m 755 $(BUILD)/oomtrace /usr/local/bin/oomtrace

demo: build ## trace, overrun a small memory cgroup, show the record
	@scripts/demo.sh $(BUILD)/oomtrace

test: deps-test ## all tests: generated files, lint, unit, page, host, VMs
	@rm -f $(RESULTS); mkdir -p $(BUILD)
	@failed=; for step in check-generated lint vagrant-validate test-unit test-page test-host test-vm; do \
		$(MAKE) $$step || failed="$$failed $$step"; done; \
	$(MAKE) test-total; [ -z "$$failed" ] || { echo "failed:$$failed"; exit 1; }

test-total:
	@awk -F '[:,]' '{split($$2,p," "); split($$3,f," "); split($$4,s," "); P+=p[1]; F+=f[1]; S+=s[1]} \
		END {printf "total: %d passed, %d failed, %d skipped\n", P, F, S}' $(RESULTS)

test-unit: ## unit tests, with the race detector, and without it those of memory; no root
	@mkdir -p $(BUILD)
	@CGO_ENABLED=1 $(GO) run ./internal/testcount -tier unit -result $(RESULTS) -- -race ./...
	@$(GO) run ./internal/testcount -tier memory -result $(RESULTS) -- -run '^Test(Crowd|Liars)$$' ./internal/container

test-host: ## tests that trace this machine's own kernel; root
	@mkdir -p $(BUILD)
	@$(GO) test -c -o /dev/null ./internal/tracer
	@scripts/asroot.sh $(GO) run ./internal/testcount -tier host -result $(RESULTS) -- -count=1 -tags hosttest -p 1 -run '^TestHost' ./...

test-vm: ## tests in QEMU guests: make test-vm KERNELS="6.12"
	@mkdir -p $(BUILD)
	@$(GO) run ./internal/testcount -tier vm -result $(RESULTS) -- -count=1 -timeout 4h -tags vmtest -run '^TestVM' ./internal/vmtest/... -args -kernels "$(KERNELS)"

test-page: ## tests of the HTML page in Chromium
	@scripts/deps.sh page
	@mkdir -p $(BUILD)
	@cd internal/render/page/browsertest && npm ci --ignore-scripts --no-audit --no-fund --silent
	@$(GO) run ./internal/testcount -tier page -result $(RESULTS) -- -count=1 -tags pagetest -run InChromium ./internal/render/page

picture: build ## the picture of the page in the README
	@scripts/deps.sh page
	@cd internal/render/page/browsertest && npm ci --ignore-scripts --no-audit --no-fund --silent
	@$(BUILD)/oomtrace read -o html internal/render/page/testdata/example.json >$(BUILD)/picture.html
	@node internal/render/page/browsertest/picture.mjs $(BUILD)/picture.html docs/page.png

lab: deps-test ## make a kill on a kernel and look at it: make lab SCENARIO=swap-idle KERNEL=6.12; alone it lists the scenarios
	@$(GO) run ./internal/vmtest/lab -kernel "$(KERNEL)" $(SCENARIO)

GOLANGCI_VERSION := v2.15.0
GOLANGCI := $(HOME)/.cache/oomtrace/bin/golangci-lint-$(GOLANGCI_VERSION)

$(GOLANGCI):
	@mkdir -p $(dir $@)
	GOBIN=$(dir $@) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv $(dir $@)golangci-lint $@

lint: $(GOLANGCI) lint-licence vulncheck ## linters: golangci-lint with the import rules, gofmt, shellcheck, govulncheck
	@test -z "$$(gofmt -l bpf cmd internal | tee /dev/stderr)"
	@$(GO) mod tidy -diff
	@$(GOLANGCI) run ./...
	@$(GOLANGCI) run --build-tags hosttest,vmtest ./...
	@$(GOLANGCI) run --build-tags vmguest ./...
	@shellcheck scripts/*.sh .ci/run
	@echo "lint: fine"

lint-licence: ## every file in bpf/ and headers/ names its licence
	@! grep -L 'SPDX-License-Identifier' bpf/*.[ch] headers/*.h headers/bpf/bpf_core_read.h | grep .

GOVULNCHECK_VERSION := v1.9.0
VULNDB ?= v0.0.0-20261105234957-e22db6528018

# The database is a module too. govulncheck reads its reports where they are unpacked.
vulncheck: ## known vulnerabilities that the code reaches: make vulncheck VULNDB=latest
	@db=$$($(GO) mod download -json golang.org/x/vulndb@$(VULNDB) | sed -n 's/^[[:space:]]*"Dir": "\(.*\)",$$/\1/p'); \
		$(GO) run golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION) -db "file://$$db/data/osv" -tags grpcnotrace ./...

vagrant-validate: ## check the Vagrantfile
	@scripts/vagrant-validate.sh

vagrant-test: build ## bring the Vagrant VM up, reproduce kills in it: make vagrant-test SUITE=trixie
	@scripts/vagrant-test.sh $(SUITE)

generate: ## compile bpf/ (clang), write internal/probe, the JSON encoder and the manual page
	@command -v $(CLANG) >/dev/null || scripts/deps.sh generate
	BPF2GO_CC=$(CLANG) $(GO) generate ./internal/probe
	$(CLANG) --version | head -n 1 > internal/probe/TOOLCHAIN
	$(GO) generate ./internal/render
	@$(MAKE) man

man: ## write the manual page from docs/oomtrace.8.in and the help
	@$(GO) run ./internal/manpage docs/oomtrace.8.in >docs/oomtrace.8.new
	@mv docs/oomtrace.8.new docs/oomtrace.8

check-generated: ## prove that internal/probe matches bpf/, the JSON encoder the record and the manual page the help
	@scripts/check-generated.sh $(CLANG)

fmt: ## format the Go files
	gofmt -w cmd internal

fuzz: ## fuzz each fuzz target for a minute
	@for p in $$(grep -rlE '^func Fuzz' --include='*_test.go' internal | xargs -n1 dirname | sort -u); do \
		for f in $$(grep -hoE '^func Fuzz[A-Za-z0-9_]+' $$p/*_test.go | sed 's/func //'); do \
			$(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime 60s ./$$p; done; done

MUTANTS ?= explain kernlog ring wire redact cgroup history
GREMLINS_VERSION := v0.6.0

mutants: ## change the code of the packages that judge, one line at a time, and see the tests fail
	@for p in $(MUTANTS); do $(GO) run github.com/go-gremlins/gremlins/cmd/gremlins@$(GREMLINS_VERSION) unleash --tags mutants ./internal/$$p; done

bench: build ## benchmarks: packages, kernel-log reading beside a peer, and a guest with peers (libbpf-tools, bpftrace) where installed
	$(GO) test -run '^$$' -bench . -benchmem ./...
	cd internal/kernlog/bench && $(GO) test -run '^$$' -bench . -benchtime 1x -benchmem ./...
	$(GO) run ./internal/vmtest/bench -kernel "$(KERNEL)"

size: build ## the size of the binary
	@stat -c '%s bytes  %n' $(BUILD)/oomtrace

release: ## both architectures, built twice and compared, with checksums
	@scripts/deps.sh build release
	@scripts/release.sh "$(VERSION)"

clean: ## remove what was built
	rm -rf $(BUILD)
