# Targets are listed by `make help`. Everything is built into bin/, .cache/ and dist/.

SHELL         := /bin/bash
.SHELLFLAGS   := -euo pipefail -c
.DEFAULT_GOAL := build
.NOTPARALLEL:
MAKEFLAGS     += --no-print-directory

GO      ?= go
PREFIX  ?= /usr/local
DESTDIR ?=
ARCHES  ?= amd64 arm64 riscv64 ppc64le s390x

VERSION := $(shell sed -n 's/^const version = "\(.*\)"/\1/p' version.go)
# Empty without git; the suffix tells of changes that are in no commit.
ifeq ($(origin COMMIT),undefined)
COMMIT  := $(shell git rev-parse HEAD 2>/dev/null)$(shell git diff --quiet HEAD 2>/dev/null || [ $$? -ne 1 ] || echo -dirty)
endif

export CGO_ENABLED := 0
LDFLAGS := -s -w -buildid= $(if $(COMMIT),-X main.commit=$(COMMIT))
# The collector of Go 1.26 keeps bits at the end of every span of the heap: for
# programs that never collect, a page more to touch for each size of object, and
# a tenth of a container's start. Not with a Go that has no other collector.
ifeq ($(origin GOEXPERIMENT),undefined)
export GOEXPERIMENT := $(shell GOEXPERIMENT=nogreenteagc $(GO) env GOEXPERIMENT 2>/dev/null)
endif
# Without text/template the command line starts 0.1 ms earlier, twice a container.
TAGS    := urfave_cli_no_template
# The runtime keeps stacks for profiles that nobody takes: the first allocation
# makes a table of 1.4 MB and walks its own stack. Beside the //go:debug lines of
# the program, which do not know these two; GODEBUG has the last word.
NOPROFILES := memprofilerate=0,profstackdepth=0
godebug     = $(shell $(GO) list -tags '$(TAGS)' -f '{{with .DefaultGODEBUG}}{{.}},{{end}}' $1)$(NOPROFILES)
# gobuild PACKAGE,FILE,LDFLAGS
gobuild     = $(GO) build -trimpath -buildvcs=false -tags '$(TAGS)' \
	-ldflags '$(LDFLAGS) -X runtime.godebugDefault=$(call godebug,$1) $3' -o $2 $1
build_hako   = $(call gobuild,.,$1,-E github.com/hako-runtime/hako/libct/early.entry)
build_bundle = $(call gobuild,./bundle,$1,-E github.com/hako-runtime/hako/libct/early.variables)

##@ Build
.PHONY: build
build: bin/hako bin/bundle ## bin/hako and bin/bundle: static, without C, reproducible

# Always run: go build knows better than make what is out of date.
.PHONY: bin/hako bin/bundle
bin/hako:
	@echo "build  $@"; $(call build_hako,$@)
bin/bundle:
	@echo "build  $@"; $(call build_bundle,$@)

.PHONY: cross $(ARCHES:%=cross-%)
cross: $(ARCHES:%=cross-%) ## compile both programs for each of ARCHES
$(ARCHES:%=cross-%): cross-%:
	@echo "cross  $*"
	@GOARCH=$* $(call build_hako,.cache/cross/$*/hako)
	@GOARCH=$* $(call build_bundle,.cache/cross/$*/bundle)

.PHONY: reproducible
reproducible: ## build again in two other folders, one with an empty cache; compare the bytes
	@tests/reproducible

.PHONY: release
release: build cross ## dist/: a tarball for each of ARCHES, and SHA256SUMS
	@.ci/release '$(VERSION)' $(ARCHES)

##@ Test
GOTESTFLAGS ?= -count=1 -timeout=5m
PKG         ?= ./...
BATS        ?= $(wildcard tests/*.bats)
JOBS        ?= 1
VIEWS       ?= v1 v2
GUEST       ?=
GUESTS      ?= 2
FUZZTIME    ?= 30s

.PHONY: test
test: deps build test-go bats test-guest cross ## all of the tests, as root; installs what they lack

.PHONY: deps
deps: ## install what the tests lack (apt)
	@JOBS='$(JOBS)' tests/deps

.PHONY: test-go
test-go: ## go test; PKG=./libct/... GOTESTFLAGS=-run=NAME
	@tests/gotest $(GOTESTFLAGS) $(PKG)

.PHONY: bats
bats: build ## tests/*.bats on cgroup v1 and v2; BATS=FILES VIEWS=v2 JOBS=N
	@JOBS='$(JOBS)' VIEWS='$(VIEWS)' tests/run-bats $(BATS)

.PHONY: test-guest
test-guest: build ## tests/guest/*/*.bats in Debian guests; GUEST=FILES GUESTS=N
	@GUESTS='$(GUESTS)' tests/guest/suite $(GUEST)

.PHONY: fuzz
fuzz: ## each Fuzz function for FUZZTIME=30s
	@tests/fuzz '$(FUZZTIME)'

.PHONY: lint
lint: ## gofmt, go vet, golangci-lint, shellcheck
	@tests/lint

.PHONY: bench
bench: build ## hako beside the runtimes that are installed
	@bench/run

.PHONY: bench-bundle
bench-bundle: build ## bundle beside umoci, buildah and tar; BENCH="--paths 6000 --megabytes 100 --runs 1"
	@bench/bundle/run $(BENCH)

.PHONY: demo
demo: build ## a container from create to delete, step by step
	@tests/demo/run

##@ Install
BINDIR := $(DESTDIR)$(PREFIX)/bin
SHARE  := $(DESTDIR)$(PREFIX)/share
# Ruby owns the command name `bundle`.
INSTALLED = $(BINDIR)/hako $(BINDIR)/hako-bundle \
	$(patsubst docs/man/%,$(SHARE)/man/man1/%,$(wildcard docs/man/*.1)) \
	$(patsubst docs/man/%,$(SHARE)/man/man8/%,$(wildcard docs/man/*.8)) \
	$(foreach p,hako hako-bundle,$(SHARE)/bash-completion/completions/$p \
		$(SHARE)/zsh/site-functions/_$p $(SHARE)/fish/vendor_completions.d/$p.fish)

.PHONY: install
install: build ## programs, man pages, completions; PREFIX=/usr/local DESTDIR=
	@install -D -m 755 bin/hako "$(BINDIR)/hako"
	@install -D -m 755 bin/bundle "$(BINDIR)/hako-bundle"
	@for page in $(wildcard docs/man/*.[18]); do \
		install -D -m 644 $$page "$(SHARE)/man/man$${page##*.}/$${page##*/}"; \
	done
	@.ci/completions "$(SHARE)"
	@echo "installed below $(DESTDIR)$(PREFIX)"

.PHONY: uninstall
uninstall: ## remove what install put there
	@rm -f $(foreach f,$(INSTALLED),"$f")

.PHONY: clean
clean: ## remove bin/, dist/ and all of .cache/ but the linter
	@rm -rf bin dist
	@[ ! -d .cache ] || find .cache -mindepth 1 -maxdepth 1 ! -name bin -exec rm -rf {} +

.PHONY: help
help: ## this list
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
