# Écluse. On a bare Debian machine with Go, `make demo` needs nothing else and
# `make test` installs what it needs (see scripts/servers).
#
# Tests that read the material (dumps and answers kept outside this repository)
# are named TestMaterial…; `make test` leaves them out and says so.

GO       ?= go
FUZZTIME ?= 10s
TESTARGS ?=
BIN      := $(CURDIR)/.cache/bin
NOT_RUN  := $(CURDIR)/.cache/not-run

GOLANGCI := v2.15.0
GOFUMPT  := v0.12.0

export CGO_ENABLED := 0

.PHONY: build demo test test-material bench faults faults-short fuzz lint tools docs clean

build: ## bin/ecluse
	$(GO) build -trimpath -o bin/ecluse ./cmd/ecluse

demo: build ## the whole story on invented patients
	bin/ecluse demo

test: ## everything but the material, against real servers
	scripts/stock
	@rm -f $(NOT_RUN)
	PATH="$(BIN):$$PATH" ECLUSE_NOT_RUN=$(NOT_RUN) scripts/servers run $(GO) test $(TESTARGS) -skip '^TestMaterial' ./...
	@if [ -e $(NOT_RUN) ]; then sort $(NOT_RUN); fi
	@echo 'not run: the pair (make test-material)'

test-material: ## the real pair and the quirks; needs ECLUSE_MATERIAL
	@test -d "$(ECLUSE_MATERIAL)" || { echo 'set ECLUSE_MATERIAL to the folder that holds pair-blis-openelis/ and quirks/' >&2; exit 1; }
	scripts/stock
	PATH="$(BIN):$$PATH" ECLUSE_MATERIAL=$(abspath $(ECLUSE_MATERIAL)) scripts/servers run scripts/material $(TESTARGS)

bench: build ## speed and memory, beside the databases' own clients; drawn into docs/
	scripts/servers run $(GO) run ./bench -svg docs/explanation/performance.svg $(BENCHARGS)

# The page is written by a whole campaign alone.
FAULTS ?= -runs 500 -pairs 38 -page $(CURDIR)/docs/explanation/faults.md
FAULTS_AT_ONCE ?= 4

faults: build ## one thing goes wrong in each of some hundred passages, catch-ups, undoings: docs/explanation/faults.md
	cd faults && $(GO) test -timeout 90m -run '^TestCampaign$$' -parallel $(FAULTS_AT_ONCE) -args $(FAULTS)

faults-short: build ## forty of them
	cd faults && $(GO) test -timeout 10m -run '^Test' -parallel $(FAULTS_AT_ONCE) -args -runs 40

fuzz: ## every Fuzz target, FUZZTIME each
	FUZZTIME=$(FUZZTIME) scripts/fuzz

lint: tools ## golangci-lint, gofumpt, Windows
	$(BIN)/golangci-lint run ./...
	@bad=$$($(BIN)/gofumpt -l .); test -z "$$bad" || { echo "run: make fmt; gofumpt differs in:"; echo "$$bad"; exit 1; }
	GOOS=windows GOARCH=amd64 $(GO) vet ./...

.PHONY: fmt
fmt: tools
	$(BIN)/gofumpt -w .

tools: $(BIN)/golangci-lint-$(GOLANGCI) $(BIN)/gofumpt-$(GOFUMPT)

$(BIN)/golangci-lint-$(GOLANGCI):
	GOBIN=$(BIN) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI)
	@touch $@

$(BIN)/gofumpt-$(GOFUMPT):
	GOBIN=$(BIN) $(GO) install mvdan.cc/gofumpt@$(GOFUMPT)
	@touch $@

docs: ## write again what is generated: the procedure, the commands, the schemas, depaware.txt
	ECLUSE_UPDATE=1 $(GO) test -run '^Test(Generated|Depaware)' . ./internal/procedure ./internal/cli
	$(GO) test ./internal/mandate/schematest -update

clean:
	scripts/servers down
	rm -rf bin
