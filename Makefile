# Convergence. `make` alone prints what there is.
#
# Compiled code is kept in Go's own build cache (`go env GOCACHE`), tools in .cache/bin.
# Every target compiles with the same flags, so that no package is compiled twice.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS   += --no-print-directory
.DEFAULT_GOAL := help

GOLANGCI_LINT_VERSION := v2.15.0
GOVULNCHECK_VERSION   := v1.9.0

GO      ?= go
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
TOOLS   := $(CURDIR)/.cache/bin

# Not from the environment: two sets of flags would mean two builds of everything.
export GOFLAGS := -mod=readonly -buildvcs=false

GENERATED := docs/processors.md docs/language.md

.PHONY: help build build-job image-service image-job image-check template demo test test-long test-api-fuzz bench lint vet fmt generate verify golden ci clean tools vulncheck

help: ## Print this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build bin/convergence; the first time about six minutes and 6 GB of memory
	@echo "building bin/convergence; a first build compiles Beam, DuckDB and the SQL analyzer: about six minutes on two cores, 6 GB"
	@$(GO) build -v -ldflags '$(LDFLAGS)' -o bin/convergence ./cmd/convergence 2>&1 | .ci/progress

build-job: ## Build bin/convergence-job, the entry of a Dataflow Flex Template, without cgo
	@echo "building bin/convergence-job"
	@CGO_ENABLED=0 $(GO) build -v -ldflags '$(LDFLAGS)' -o bin/convergence-job ./cmd/convergence-job 2>&1 | .ci/progress

# What the Dockerfile builds: static binaries. The service leaves the embedded cloud out,
# which is what needs cgo.
image-service: ## Build bin/image/convergence, the service of the image, without the embedded cloud
	@CGO_ENABLED=0 $(GO) build -tags noembedded -ldflags '$(LDFLAGS)' -o bin/image/convergence ./cmd/convergence

image-job: ## Build bin/image/convergence-job, the binary of the Flex Template's image
	@CGO_ENABLED=0 $(GO) build -ldflags '$(LDFLAGS)' -o bin/image/convergence-job ./cmd/convergence-job

image-check: image-job image-service ## Take the Dockerfile's steps without Docker and run what they build
	@.ci/image-check bin/image

template: image-job ## Write bin/flex-template.json, the container spec of TEMPLATE_IMAGE, for a bucket
	@[[ -n "$(TEMPLATE_IMAGE)" ]] || { echo "make template TEMPLATE_IMAGE=REGION-docker.pkg.dev/PROJECT/REPOSITORY/convergence-job:TAG" >&2; exit 2; }
	@bin/image/convergence-job --container_spec='$(TEMPLATE_IMAGE)' > bin/flex-template.json
	@echo "bin/flex-template.json names $(TEMPLATE_IMAGE); put it into a bucket: gcloud storage cp bin/flex-template.json gs://BUCKET/templates/convergence.json"

demo: RUNNER ?= prism
demo: build ## Run everything on this machine on real traffic traces and print the cost report; RUNNER=dataflow on a simulated Dataflow
	@if [[ "$(RUNNER)" == dataflow ]]; then $(MAKE) --no-print-directory build-job; fi
	@$(GO) build -v -ldflags '$(LDFLAGS)' -o bin/demo ./testing/demo 2>&1 | .ci/progress
	@bin/demo -bin bin/convergence -job bin/convergence-job -runner $(RUNNER)

# The race detector costs the analyzer and DuckDB tens of minutes of compiling and
# memory that a laptop does not have, so packages whose tests reach them run without it;
# so do those that drive the product's binaries (testing/lab), which it does not see.
test: ## Run all tests but the long ones
	@list=$$($(GO) list -test -f '{{.ImportPath}} {{join .Deps " "}}' ./... | awk '$$1 ~ /\.test$$/ {plain = /github\.com\/(duckdb|goccy\/go-googlesql)|\/testing\/lab/; sub(/\.test$$/, "", $$1); print plain ? "plain" : "raced", $$1}'); \
	raced=$$(awk '$$1 == "raced" {print $$2}' <<< "$$list"); plain=$$(awk '$$1 == "plain" {print $$2}' <<< "$$list"); failed=0; \
	echo "testing $$(wc -w <<< "$$raced") packages with the race detector"; \
	$(GO) test -race -shuffle=on -p 2 -timeout 20m $$raced || failed=1; \
	echo "testing $$(wc -w <<< "$$plain") packages without it"; \
	$(GO) test -shuffle=on -p 2 -timeout 20m $$plain || failed=1; \
	exit $$failed

test-long: ## Run all tests, the long ones (build tag long) included
	@$(GO) test -tags long -shuffle=on -p 2 -timeout 60m ./...

test-api-fuzz: build ## Send generated requests to the service and hold answers against its OpenAPI document; needs python3
	@.ci/api-fuzz bin/convergence

bench: ## Run all benchmarks
	@packages=$$(grep -rl --include='*_test.go' '^func Benchmark' . | xargs -r -n1 dirname | sort -u); \
	if [[ -z "$$packages" ]]; then echo "there is no benchmark"; else $(GO) test -run '^$$' -bench . -benchmem -p 1 -timeout 30m $$packages; fi

lint: tools ## Run the linters and check the import rules
	@$(TOOLS)/golangci-lint run ./...

vet: ## Run go vet
	@$(GO) vet ./...

fmt: tools ## Format the code
	@$(TOOLS)/golangci-lint fmt ./...

generate: build ## Write the generated files anew
	@bin/convergence processors --format md > docs/processors.md
	@bin/convergence language --format md > docs/language.md

verify: generate ## Fail if a generated file is not what the code generates
	@git ls-files --error-unmatch $(GENERATED) > /dev/null && git diff --exit-code -- $(GENERATED) \
	|| { echo "generated files are not what is committed: commit what 'make generate' wrote" >&2; exit 1; }

golden: ## Accept the present output as golden; look at the diff before you commit it
	@$(GO) test $$(grep -rl --include='*_test.go' 'convergence/testing/golden"' . | xargs -r -n1 dirname | sort -u) -update

ci: ## Run what CI runs
	@.ci/run

vulncheck: tools ## Look for known vulnerabilities; never fails
	@.ci/vulncheck $(TOOLS) $(GOVULNCHECK_VERSION)

tools: $(TOOLS)/golangci-lint-$(GOLANGCI_LINT_VERSION) ## Install the pinned linter into .cache/bin

$(TOOLS)/golangci-lint-$(GOLANGCI_LINT_VERSION):
	@echo "installing golangci-lint $(GOLANGCI_LINT_VERSION) into .cache/bin; about two and a half minutes"
	@GOBIN=$(TOOLS) $(GO) install -v github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION) 2>&1 | .ci/progress
	@touch $@

clean: ## Remove what was built, but neither Go's cache nor data
	@rm -rf bin .cache
