# Each target is one line and can be typed without make.
FUZZTIME ?= 20s
SEEDS ?= 1000000
STATES ?= 5000000
REQUESTS ?= 100000
SOAK ?= 3h
KILLS ?= 300
TXN_KILLS ?= 200
LINT = bin/golangci-lint-2.15.0
GREMLINS = bin/gremlins-0.6.0
# Packages whose own tests must find 85 % of the small mistakes that gremlins makes in them.
MUTATE ?= accumulator txn recovery sender/cluster idempotence spool protocol/conn sender/loop protocol protocol/codec
# Packages that start no goroutine, nor do their tests (alone_test.go sees to it), and the simulated world, of which spool/bolt
# alone does: the race detector would only slow them down.
ALONE = protocol idempotence txn spool accumulator recovery sender sender/cluster sender/transaction cmd/spoold/internal/ship \
	integration/sim integration/sim/agenda integration/sim/broker integration/sim/check integration/sim/raw
# Folders with tests against real Kafka: they need Java 17 and Maven, and fail without. Brokers are waited for most of the time, so two
# folders are tested at once, those that take longest first.
LONGEST = ./integration/kafka ./integration/txn
KAFKA = $(LONGEST) $(filter-out $(LONGEST),$(shell grep -rlE '^//go:build kafka' --include='*_test.go' . | xargs -n1 dirname | sort -u))

.PHONY: build test race sim plant differ sim-ci sim-young fuzz kafka txn crash states inject power soak ship crash-ci mutate bench vet vet-modules lint check browser clients dist dist-test golden

build:
	go build -o bin/spoold ./cmd/spoold
test:
	go test ./...
	cd schemaregistry && go test ./...
	cd deploy && go test ./...
race:
	go test -race -timeout 30m $(filter-out $(ALONE:%=github.com/spoold/spoold/%),$(shell go list ./...))
	go test -race -timeout 30m ./integration/sim -run 'Bolt|Small'
sim:
	go run ./integration/sim/simulate -seeds $(SEEDS)
plant:
	go run ./integration/sim/plant -o docs/proof/planted.md
differ:
	go test -tags kafka -count=1 -v -timeout 2h ./integration/sim/differ -requests $(REQUESTS)
sim-ci:
	go run ./integration/sim/simulate -kind plain -seeds 6000 -fresh $$(git rev-parse HEAD)
	go run ./integration/sim/simulate -kind lasting -seeds 600 -fresh $$(git rev-parse HEAD)
	go run ./integration/sim/simulate -kind files -seeds 100
	go run ./integration/sim/simulate -kind files -seeds 50 -fresh $$(git rev-parse HEAD)
	go run ./integration/sim/simulate -kind transactions -seeds 1500
	go run ./integration/sim/simulate -kind transactions -seeds 300 -fresh $$(git rev-parse HEAD)
	go run ./integration/sim/simulate -kind staged -seeds 100 -fresh $$(git rev-parse HEAD)
	go run ./integration/sim/plant -sample 8 -of $$(git rev-parse HEAD)
	go test -count=1 ./integration/sim -run 'Same|Asking' -sim.seeds 500
	go test -count=1 ./integration/sim/disk -disk.programs 120
# More of the youngest kind of histories, fresh.
sim-young:
	go run ./integration/sim/simulate -kind files -seeds 2000 -fresh $$(git rev-parse HEAD)
fuzz:
	go run ./integration/fuzz -time $(FUZZTIME)
kafka:
	go test -tags kafka -count=1 -p 2 -timeout 30m $(KAFKA)
txn:
	TXN_KILLS=$(TXN_KILLS) go test -tags kafka -count=1 -v -timeout 2h ./integration/txn
crash:
	go test -tags crash -count=1 -v -timeout 90m ./integration/crash -kills 500 -broker-kills 100 -outage 3m -storm 5m -backlog 2048
	$(MAKE) states inject
states:
	CRASH_STATES=$(STATES) go test -tags crash -count=1 -v -timeout 3h ./integration/crashstates
inject:
	CRASH_SECONDS=5400 go test -tags crash -count=1 -v -timeout 2h ./integration/inject
# Seeds that are those of the commit: what CI finds is found again.
crash-ci:
	CRASH_SEED=$$(printf '%d' 0x$$(git rev-parse HEAD | cut -c1-12)) go test -tags crash -count=1 -v -timeout 30m -p 2 ./integration/crash ./integration/crashstates ./integration/inject ./integration/lossy ./integration/soak ./integration/ship ./integration/wallclock
	cd integration/plot && go test ./...
power:
	go test -tags crash -count=1 -v -timeout 60m ./integration/lossy -cuts 1000
ship:
	go test -tags crash -count=1 -v -timeout 60m ./integration/ship -kills $(KILLS) -logs 8
soak:
	go test -tags crash -count=1 -v -timeout 0 ./integration/soak -time $(SOAK) -watched -out .cache/soak; was=$$?; cd integration/plot && go run . -in ../../.cache/soak -out ../../.cache/soak/soak.png && exit $$was
# The batches of Kafka's own Java producer that tests read.
golden:
	go run ./integration/oracle/golden
bench:
	cd integration/bench && go run .
# Without --test-cpu: with it this version's go test ends at once, and everything counts as killed. A mutation may ask for memory
# without end: so much of its address space (KiB) is enough for all that do not.
mutate: $(GREMLINS)
	ulimit -v 8388608; for p in $(MUTATE); do $(GREMLINS) unleash ./$$p -E / --workers 2 --timeout-coefficient 20 --threshold-efficacy 85 -S ltc || exit 1; done
vet: vet-modules
	go vet -tags kafka,crash,browser ./...
# The other modules; make lint vets this one, too.
vet-modules:
	for m in deploy integration/bench integration/plot schemaregistry; do (cd $$m && go vet ./...) || exit 1; done
lint: $(LINT)
	$(LINT) run
browser:
	go test -tags browser -count=1 ./integration/page
clients:
	go test -tags crash -count=1 ./integration/httpclients
dist:
	packaging/dist.sh
dist-test: dist
	packaging/test.sh
check: vet lint test race sim-ci kafka crash-ci

$(LINT):
	GOBIN=$(CURDIR)/bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0 && mv bin/golangci-lint $(LINT)
$(GREMLINS):
	GOBIN=$(CURDIR)/bin go install github.com/go-gremlins/gremlins/cmd/gremlins@v0.6.0 && mv bin/gremlins $(GREMLINS)
