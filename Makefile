# make demo    bring up a cluster in network namespaces, break it, measure it (root)
# make test    everything, from gofmt to the tests with real FRR (root)
# make matrix  the tests with real FRR against 7.5, 8.4, 10.3, the newest, and mixes (root)
# make bench   what each fault costs a client, N times each, against the goals (root)
# make build   bin/srrd, bin/srrsh, bin/srrsim, bin/srrlab, bin/srrdemo
# make install DESTDIR= PREFIX=/usr
# make fuzz TIME=3s
# make soak EVENTS=10000000   random schedules of faults on simulated clusters
# make chaos SEED=1 MINUTES=10   random faults on real daemons, and an audit (root)
# make soak-lab MINUTES=60    real daemons kept busy, no srrd ended: does one grow? (root)
# make guest ONLY=networkd    the units under systemd as PID 1, in an emulated Debian 12 (root)

SHELL   = /bin/sh
GO     ?= go
PREFIX ?= /usr/local
DESTDIR =
# A demo has a name; with different ones several run side by side.
NAME ?= demo
# KEEP=1 leaves the demo up at its end.
KEEP ?=
# The bench: how often each fault is done, which faults (all), with keepalived
# beside it (PEER=keepalived), and more for srrbench (-o json, -flame, -evidence).
N ?= 30
FAULTS ?=
PEER ?=
BENCH_ARGS ?=
# Which rows of the matrix (all), and as what: text or markdown.
ROWS   ?=
FORMAT ?= text
# How long each fuzz test runs.
TIME ?= 3s
# How many events the machines of the simulated clusters take, and from which
# seed on: each night another one.
EVENTS ?= 10000000
SEED   ?= 1
# How long chaos breaks things, and where its logs stay (KEEP_LOGS=DIR).
MINUTES ?= 10
KEEP_LOGS ?=
# Which checks in the emulated machine (all).
ONLY   ?=

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
# The samples name this place, whatever PREFIX is.
LIBRARY  = $(abspath $(DESTDIR)/usr/share/srrd/service)
LDFLAGS  = -X main.version=$(VERSION)

.PHONY: all build demo bench test matrix fuzz soak chaos soak-lab guest install clean

all: build

build:
	@mkdir -p bin
	$(GO) build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o bin/ ./sidecar/cmd/... ./deploy/lab/cmd/...

# Recipes that run long are one command each, so that an interrupt reaches it.
demo:
	@deploy/install/packages demo
	@$(MAKE) -s build
	@bin/srrdemo -name '$(NAME)' $(if $(filter-out 0 no,$(KEEP)),-keep)

bench:
	@deploy/install/packages bench$(if $(PEER),-peer)
	@$(MAKE) -s build
	@bin/srrbench -n '$(N)' -faults '$(FAULTS)' -peer '$(PEER)' $(BENCH_ARGS)

test:
	@deploy/install/packages test
	@FUZZTIME=$(TIME) .ci/test

matrix:
	@deploy/install/packages test
	@.ci/matrix -o '$(FORMAT)' $(ROWS)

fuzz:
	@FUZZTIME=$(TIME) .ci/test fuzz

soak:
	@$(GO) test -count=1 -timeout 6h -v -run TestRandomSchedules ./sidecar/internal/sim -events $(EVENTS) -seed $(SEED)

chaos:
	@deploy/install/packages test
	@$(MAKE) -s build
	@bin/srrchaos -seed $(SEED) -minutes $(MINUTES) $(if $(KEEP_LOGS),-keep '$(KEEP_LOGS)')

soak-lab:
	@deploy/install/packages test
	@$(MAKE) -s build
	@bin/srrchaos -soak -seed $(SEED) -minutes $(MINUTES) $(if $(KEEP_LOGS),-keep '$(KEEP_LOGS)')

guest:
	@deploy/install/packages guest
	@rm -rf bin/guest
	@$(MAKE) -s install DESTDIR='$(CURDIR)/bin/guest' PREFIX=/usr
	@disk=$$(deploy/install/guest-root bookworm) && exec bin/srrguest -disk "$$disk" -tree bin/guest -only '$(ONLY)' $(if $(KEEP_LOGS),-keep '$(KEEP_LOGS)')

# A configuration that is there stays; the sample beside it is always the newest.
install: build
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/systemd/system \
		$(DESTDIR)$(PREFIX)/share/doc/srrd/frr $(DESTDIR)/etc/srrd/services.d $(DESTDIR)/var/lib/srrd
	install -m 755 bin/srrd $(DESTDIR)$(PREFIX)/sbin/srrd
	install -m 755 bin/srrsh bin/srrsim bin/srrlab $(DESTDIR)$(PREFIX)/bin/
	sed 's|@sbindir@|$(PREFIX)/sbin|' deploy/systemd/srrd.service > $(DESTDIR)$(PREFIX)/lib/systemd/system/srrd.service
	chmod 644 $(DESTDIR)$(PREFIX)/lib/systemd/system/srrd.service
	install -D -m 644 deploy/man/srrd.8 $(DESTDIR)$(PREFIX)/share/man/man8/srrd.8
	install -D -m 644 deploy/man/srrsh.1 $(DESTDIR)$(PREFIX)/share/man/man1/srrsh.1
	install -d $(DESTDIR)$(PREFIX)/share/doc/srrd/monitoring $(DESTDIR)$(PREFIX)/share/doc/srrd/systemd
	install -m 644 deploy/systemd/unprivileged.conf deploy/systemd/sysusers.conf deploy/systemd/srrd-zserv.path deploy/systemd/srrd-zserv.service deploy/systemd/polkit.rules $(DESTDIR)$(PREFIX)/share/doc/srrd/systemd/
	install -m 644 deploy/monitoring/* $(DESTDIR)$(PREFIX)/share/doc/srrd/monitoring/
	cd deploy/service && find . -type f -exec install -D -m 644 '{}' '$(LIBRARY)/{}' ';'
	install -m 644 deploy/frr/* $(DESTDIR)$(PREFIX)/share/doc/srrd/frr/
	install -m 644 $(wildcard README.md ARCHITECTURE.md) LICENSE CHANGELOG.md $(DESTDIR)$(PREFIX)/share/doc/srrd/
	install -m 644 deploy/etc/srrd.yaml $(DESTDIR)/etc/srrd/srrd.yaml.sample
	test -e $(DESTDIR)/etc/srrd/srrd.yaml || install -m 644 deploy/etc/srrd.yaml $(DESTDIR)/etc/srrd/srrd.yaml

clean:
	rm -rf bin
