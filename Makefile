# Every target needs nothing but Go, git and make; what more a tool of the
# machine could add (a C compiler for -race, say) is used where it is there.

SHELL  := /bin/sh
GO     ?= go
FUZZTIME ?= 10s
RUNFLAGS ?=
TESTFLAGS ?=
LINTFLAGS ?=

.DEFAULT_GOAL := build
.PHONY: build lab test unit fuzz check format vet lint cross tidy generated soak bench-fidelity clean help

## build: build ./mslab, without cgo: threads made by glibc cost more, and only some machines would
build:
	CGO_ENABLED=0 $(GO) build -trimpath -o mslab ./cmd/mslab

## lab: build, play the scenario first-look, print its table
lab: build
	./mslab run first-look $(RUNFLAGS)

## test: all tests (with -race where there is a C compiler), then 10 s of each fuzz target
test: unit fuzz

unit:
	@GO="$(GO)" sh .ci/unit $(TESTFLAGS)

## fuzz: fuzz every target for FUZZTIME (make fuzz FUZZTIME=5m)
fuzz:
	@GO="$(GO)" sh .ci/fuzz $(FUZZTIME)

## check: format, vet, linter, cross-builds, go.mod, generated files
check: format vet lint cross tidy generated

format:
	@echo "gofmt"
	@unformatted=$$($(GO) list -f '{{.Dir}}' ./... ./.ci/report | sed 's|$$|/*.go|' | xargs -I{} sh -c 'gofmt -l {}') && \
	if [ -n "$$unformatted" ]; then echo "not formatted; run gofmt -w on:"; echo "$$unformatted"; exit 1; fi

vet:
	$(GO) vet ./... ./.ci/report

lint:
	$(GO) tool golangci-lint run $(LINTFLAGS)

cross:
	GOOS=darwin GOARCH=arm64 CGO_ENABLED=0 $(GO) build ./...
	GOOS=darwin GOARCH=arm64 CGO_ENABLED=0 $(GO) vet ./...
	GOOS=linux GOARCH=arm64 CGO_ENABLED=0 $(GO) build ./...
	GOOS=linux GOARCH=arm64 CGO_ENABLED=0 $(GO) vet ./...

tidy:
	$(GO) mod tidy -diff

generated:
	@GO="$(GO)" sh .ci/generated

## soak: the long forms: tests with MSLAB_SOAK=1, then 5 minutes of each fuzz target
soak:
	MSLAB_SOAK=1 GO="$(GO)" sh .ci/unit -timeout 2h $(TESTFLAGS)
	GO="$(GO)" sh .ci/fuzz 5m

## bench-fidelity: C twins of phases 1 and 5 beside ours
bench-fidelity:
	$(GO) run ./bench/fidelity

clean:
	rm -rf mslab bin

help:
	@sed -n 's/^## //p' Makefile
