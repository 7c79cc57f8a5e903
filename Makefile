# `make` lists the targets. Each runs on a fresh clone: what is missing is
# fetched, installed (Debian, as root) or named in one sentence.

SHELL := bash
.DEFAULT_GOAL := help

# Pinned, so that lint does not change under a branch.
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

# The example stands in testdata, which the go command's dots pass over.
ALL := ./... ./testdata/examples/...
PACKAGES ?= $(ALL)
TESTFLAGS ?=
MAJORS ?= 14 15 16 17 18
BENCH ?= .
BENCHTIME ?= 1x
FUZZTIME ?= 30s
DOCKER ?= docker
# Debian's own and the newest, and a whole history beside them; DOCKER_PACKAGES=./integration has all the rest.
DOCKER_MAJORS ?= 15 18
DOCKER_PACKAGES ?= ./internal/pgtest ./testdata/examples/bitvault
IMAGE ?= pawl:dev
ORACLE ?= ../shared/oracle
LINTCASES ?= ../shared/lint
SQUAWK ?= squawk-cli@2.66.0
SHOW ?= 3
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)

# One set of flags for all but the tests, which the race detector sets apart
# anyway: with another set cgo compiles the SQL parser again, a minute of work.
export CGO_ENABLED := 1
# The linker is told the version, so that git need not be asked again.
export GOFLAGS := $(strip $(filter-out -trimpath -buildvcs=%,$(GOFLAGS)) -trimpath -buildvcs=false)
GOTEST := go test -trimpath=false -timeout 20m

NEED := ./internal/tools/need
TOOLS := $(CURDIR)/.cache/tools
# Directories whose tests use a database, benchmarks, fuzz targets.
using = $(shell grep -rlE --include='*_test.go' '$(1)' --exclude-dir=.git --exclude-dir=.cache . | sed 's,/[^/]*$$,,' | sort -u)

.PHONY: help
help: ## print this list
	@echo 'pawl: forward-only migrations for PostgreSQL'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo 'PACKAGES=./migrate/... TESTFLAGS="-run Name -v" narrow the tests; MAJORS="14 17" the matrix.'

.PHONY: demo
demo: build ## start a PostgreSQL and show a contract held, then let through
	@$(NEED) pg -- ./bin/pawl demo

.PHONY: build
build: ## build bin/pawl
	@$(NEED) cc
	go build -ldflags '-s -w -X main.version=$(VERSION)' -o bin/pawl ./cmd/pawl

.PHONY: test
test: ## run all tests with the race detector, on a PostgreSQL that is found or fetched
	@$(NEED) pg -- $(GOTEST) -race $(TESTFLAGS) $(PACKAGES)

.PHONY: test-matrix
test-matrix: ## run the tests that use a database on each of MAJORS
	@$(NEED) pg $(MAJORS)
	@set -e; for major in $(MAJORS); do \
		echo "PostgreSQL $$major"; \
		PAWL_REQUIRE_PG=1 PAWL_TEST_MAJOR=$$major $(GOTEST) -count=1 $(TESTFLAGS) $(call using,pawl/internal/pgtest"|^package pgtest); \
	done

.PHONY: test-jobs
test-jobs: ## start eight runs at once, fifty times, on PostgreSQL 14 and 18
	@$(NEED) pg 14 18
	@set -e; for major in 14 18; do \
		PAWL_REQUIRE_PG=1 PAWL_TEST_MAJOR=$$major PAWL_TEST_REPEATS=50 $(GOTEST) -count=1 -v -run '^TestEightAtOnce$$' ./integration; \
	done

.PHONY: test-docker
test-docker: ## build the image, run it confined as a cluster does, and run tests on containers of DOCKER_MAJORS (root on Debian gets Docker)
	@$(NEED) cc
	@DOCKER=$(DOCKER) internal/tools/engine $(DOCKER_MAJORS) -- $(MAKE) --no-print-directory test-docker-inside

.PHONY: test-docker-inside
test-docker-inside:
	@set -e; for major in $(DOCKER_MAJORS); do \
		echo "container of PostgreSQL $$major"; \
		PAWL_TEST_MAJOR=$$major $(GOTEST) -count=1 -tags docker ./internal/pgserver/docker; \
		PAWL_TEST_MAJOR=$$major PAWL_REQUIRE_PG=1 go run ./internal/pgserver/docker/pgrun -major $$major \
			$(GOTEST) -count=1 $(TESTFLAGS) $(DOCKER_PACKAGES); \
	done
	@echo "the image, beside PostgreSQL $(firstword $(DOCKER_MAJORS))"
	@PAWL_TEST_MAJOR=$(firstword $(DOCKER_MAJORS)) $(GOTEST) -count=1 -v -tags docker ./integration/container

.PHONY: test-kubernetes
test-kubernetes: build ## run the hooks under a real Kubernetes API and Argo CD's sync engine (first time: builds them)
	@set -e; tools=$$(integration/kubernetes/tools); go build -o bin/pgup ./internal/tools/pgup; \
		cd integration/kubernetes && PAWL_KUBERNETES_TOOLS=$$tools PAWL_BINARY=$(CURDIR)/bin/pawl CGO_ENABLED=0 \
		$(CURDIR)/bin/pgup go test -timeout 10m -count=1 $(TESTFLAGS) .

.PHONY: check
check: build vet lint test verify ## what a change must pass: build, vet, lint, test, verify

.PHONY: vet
vet: ## run go vet
	go vet $(ALL)

.PHONY: lint
lint: $(TOOLS)/$(notdir $(STATICCHECK)) $(TOOLS)/$(notdir $(GOLANGCI)) ## run gofmt, staticcheck and golangci-lint
	@unformatted=$$(gofmt -l $$(git ls-files --cached --others --exclude-standard '*.go')); \
		[ -z "$$unformatted" ] || { echo "gofmt -w is needed for:"; echo "$$unformatted"; exit 1; }
	$(TOOLS)/$(notdir $(STATICCHECK))/staticcheck $(ALL)
	$(TOOLS)/$(notdir $(GOLANGCI))/golangci-lint run $(ALL)

$(TOOLS)/$(notdir $(STATICCHECK)):
	GOFLAGS= GOBIN=$@ go install $(STATICCHECK)

$(TOOLS)/$(notdir $(GOLANGCI)):
	GOFLAGS= GOBIN=$@ go install $(GOLANGCI)

.PHONY: verify
verify: ## fail if go.mod or a generated file is stale
	go mod tidy -diff
	@before=$$(git status --porcelain; git diff | git hash-object --stdin); \
		go generate $(ALL) && \
		after=$$(git status --porcelain; git diff | git hash-object --stdin); \
		[ "$$before" = "$$after" ] || { echo 'generated files were stale and are written anew: commit them' >&2; git status --short >&2; exit 1; }

.PHONY: bench
bench: ## run the benchmarks once: what migrations cost, counted on the server
	@$(NEED) pg -- $(GOTEST) -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) $(or $(call using,^func Benchmark),./internal/pgtest)

.PHONY: bench-gate
bench-gate: ## decide with a million statements of 10,000 releases in the ledger
	@$(NEED) pg -- $(GOTEST) -run '^$$' -bench '^BenchmarkGateLedger$$' -benchtime 3x -v ./integration | grep -E 'Gate|statements|FAIL|panic'

.PHONY: bench-backfill
bench-backfill: ## move a million rows by a backfill and by one UPDATE: rows/s, log, heap
	@$(NEED) pg -- $(GOTEST) -run '^$$' -bench '^BenchmarkBackfill$$' -benchtime 1x -v ./integration | grep -E 'rows/s|FAIL|panic'

.PHONY: bench-runner
bench-runner: ## put pawl beside goose, golang-migrate and tern: 1,000 files, and nothing to do
	@set -o pipefail; $(NEED) pg -- $(GOTEST) -run '^$$' -bench '^BenchmarkRunner$$' -benchtime 1x ./integration | grep -vE '^(goos:|goarch:|pkg:|cpu:|Benchmark|PASS|ok )'

.PHONY: bench-stall
bench-stall: ## likewise while traffic goes on and somebody's transaction comes and goes
	@set -o pipefail; $(NEED) pg -- $(GOTEST) -run '^$$' -bench '^BenchmarkStall$$' -benchtime 1x ./integration | grep -vE '^(goos:|goarch:|pkg:|cpu:|Benchmark|PASS|ok )'

.PHONY: fuzz
fuzz: ## fuzz every fuzz target for FUZZTIME
	@$(NEED) cc
	@set -e; for dir in $(call using,^func Fuzz); do \
		for target in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p' $$dir/*_test.go); do \
			echo "$$dir $$target"; \
			$(GOTEST) -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$dir; \
		done; \
	done

.PHONY: oracle
oracle: build ## compare with what PostgreSQL did in measured cases, if ORACLE has them
	@[ -f $(ORACLE)/eval.py ] || { echo 'the measured cases are not part of this repository: set ORACLE to a folder with eval.py' >&2; exit 1; }
	@mkdir -p .cache; set -e; for major in $(MAJORS); do \
		python3 internal/tools/oracle/cases.py $(ORACLE)/cases-dev.jsonl $$major > .cache/oracle-$$major.jsonl; \
		for mode in classify gate; do \
			echo "PostgreSQL $$major, $$mode"; \
			python3 $(ORACLE)/eval.py --pawl bin/pawl --mode $$mode --pg $$major --cases .cache/oracle-$$major.jsonl --show $(SHOW); \
		done; \
	done

.PHONY: bench-lint
bench-lint: build ## lint 1,000 and 10,000 files with pawl and with squawk (npm), and one file that grows, if LINTCASES has the generator
	@[ -f $(LINTCASES)/corpus_gen.py ] || { echo 'the generator of files is not part of this repository: set LINTCASES to a folder with corpus_gen.py' >&2; exit 1; }
	@command -v npm >/dev/null && command -v python3 >/dev/null || { echo 'npm and python3 are needed: squawk is an npm package, the generator a Python program' >&2; exit 1; }
	@[ -d .cache/squawk/node_modules ] || npm install --silent --no-audit --no-fund --no-save --prefix .cache/squawk $(SQUAWK)
	go run ./internal/tools/benchlint $(CURDIR)/bin/pawl "$$(find .cache/squawk/node_modules/@squawk-cli -path '*/bin/squawk' -type f | head -1)" $(LINTCASES)/corpus_gen.py .cache/bench-lint

.PHONY: lint-cases
lint-cases: build ## compare pawl lint with measured cases, if LINTCASES has them
	@[ -f $(LINTCASES)/cases-dev.jsonl ] || { echo 'the measured cases are not part of this repository: set LINTCASES to a folder with cases-dev.jsonl and base.sql' >&2; exit 1; }
	go run ./internal/tools/lintcases $(CURDIR)/bin/pawl $(LINTCASES)/cases-dev.jsonl $(LINTCASES)/base.sql

.PHONY: image
image: ## build the container image as IMAGE
	@command -v $(DOCKER) >/dev/null || { echo 'no container builder: install Docker, or set DOCKER=podman' >&2; exit 1; }
	$(DOCKER) build --build-arg VERSION=$(VERSION) -t $(IMAGE) $(IMAGEFLAGS) .

.PHONY: clean
clean: ## remove what these targets made here
	rm -rf bin .cache

comma := ,
space := $() $()
