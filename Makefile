# Tarry. `make help` lists the targets. User flags are appended to ours.

BUILD ?= build
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
PKGS_tarryd := libuv inih libmicrohttpd libxxhash libcap-ng jansson libssl \
	libcrypto sqlite3 libcares libpsl libmaxminddb
PKGS_tarry-sidecar := libuv libpcap libxxhash libcap-ng
PKGS_tarry-sink := libuv
PKGS_tarryctl := jansson inih libpcap ncurses
PKG = $(shell pkg-config $(1) $(2) 2>/dev/null)

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion \
	-Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition \
	-Wpointer-arith -Wcast-align -Wcast-qual -Wwrite-strings -Wformat=2 \
	-Wundef -Wvla -Wswitch-enum -Wimplicit-fallthrough -Wnull-dereference \
	-Wdouble-promotion -Wenum-conversion
ifneq ($(findstring clang,$(CC)),clang)
WARN += -Wlogical-op -Wduplicated-cond -Wduplicated-branches \
	-Wjump-misses-init
else
WARN += -Wmissing-variable-declarations
endif
# Sanitizers blow up frames and confuse the flow warnings.
ifeq ($(SAN),)
WARN += -Wframe-larger-than=4096
ifdef CI
WARN += -Werror
endif
# Of the programs; tests are linked without it, from the same objects.
ifneq ($(findstring clang,$(CC)),clang)
LTO := -flto=auto -ffat-lto-objects
endif
endif
OPT ?= -O2 -D_FORTIFY_SOURCE=2
OUR_CFLAGS := -std=c11 -D_GNU_SOURCE -g -Iinclude -I. -I$(BUILD)/gen $(WARN) \
	-fstack-protector-strong -fPIE -pthread -MMD -MP $(LTO)
LIBS_CFLAGS := $(call PKG,--cflags,$(PKGS_tarryd) $(PKGS_tarry-sidecar))
OUR_LDFLAGS := -pie -pthread -Wl,-z,relro,-z,now $(SAN)
COMPILE = $(CC) $(OUR_CFLAGS) $(OPT) $(SAN) $(LIBS_CFLAGS) $(CPPFLAGS) $(CFLAGS)

VERSION := 0.1.0
CPPFLAGS += -DTARRY_VERSION='"$(VERSION)"'

# Rooms. A main() lives in NAME_main.c or in its own room's main.c.
SHAPING := $(wildcard shaping/*.c)
MAINS := proxy/daemon/tarryd_main.c proxy/sidecar/tarry_sidecar_main.c \
	proxy/sink/tarry_sink_main.c proxy/ctl/tarryctl_main.c
PROXY := $(filter-out $(MAINS),$(wildcard proxy/*/*.c))
SIDECAR := $(filter proxy/sidecar/%,$(PROXY))
CTL := $(filter proxy/ctl/%,$(PROXY))
SIMULATE := $(filter proxy/simulate/%,$(PROXY))
TARRYD := $(filter-out $(SIDECAR) $(CTL) $(SIMULATE) proxy/sink/%,\
	$(PROXY))
OBJ = $(patsubst %.c,$(BUILD)/%.o,$(1))

PROGRAMS := tarryd tarryctl tarry-sidecar tarry-sink
all: $(PROGRAMS:%=$(BUILD)/%)

# A row of a test's table names only what it is about.
$(BUILD)/tests/%.o: OUR_CFLAGS += -Wno-missing-field-initializers
$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(COMPILE) -c -o $@ $<

$(BUILD)/libshaping.a: $(call OBJ,$(SHAPING))
	@rm -f $@; $(AR) rcs $@ $^
$(BUILD)/libtarryd.a: $(call OBJ,$(TARRYD))
	@rm -f $@; $(AR) rcs $@ $^
$(BUILD)/libsidecar.a: $(call OBJ,$(SIDECAR) proxy/admin/socket_file.c)
	@rm -f $@; $(AR) rcs $@ $^
$(BUILD)/libctl.a: $(call OBJ,$(CTL))
	@rm -f $@; $(AR) rcs $@ $^
$(BUILD)/libsimulate.a: $(call OBJ,$(SIMULATE))
	@rm -f $@; $(AR) rcs $@ $^

# config/tarry.ini is compiled in: it is what tarryd runs on with no file.
$(BUILD)/gen/tarry_ini.h: config/tarry.ini
	@mkdir -p $(@D)
	xxd -i -n tarry_ini $< | sed 's/^unsigned/static const unsigned/' >$@
$(call OBJ,$(wildcard proxy/config/*.c)): | $(BUILD)/gen/tarry_ini.h

# The dashboard, compressed, is compiled in too.
DYGRAPHS ?= /usr/share/javascript/dygraphs
WEB := $(wildcard web/*) $(DYGRAPHS)/dygraph.min.js $(DYGRAPHS)/dygraph.min.css
$(BUILD)/gen/web_assets.h: $(WEB)
	@mkdir -p $(@D)
	for f in $^; do gzip -9nc $$f | xxd -i -n \
	  web_$$(basename $$f | sed 's/\.min//; s/[.]/_/g'); done | \
	  sed '/_len = /d; s/^unsigned/static const unsigned/' >$@
$(call OBJ,proxy/admin/http_assets.c): $(BUILD)/gen/web_assets.h

LINK = $(CC) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(OUR_LDFLAGS) $(LDFLAGS)
$(PROGRAMS:%=$(BUILD)/%): OUR_LDFLAGS += $(OPT) $(LTO)
$(BUILD)/tarryd: $(call OBJ,proxy/daemon/tarryd_main.c) $(BUILD)/libtarryd.a \
		$(BUILD)/libshaping.a
	$(LINK) $(call PKG,--libs,$(PKGS_tarryd))
$(BUILD)/tarry-sidecar: $(call OBJ,proxy/sidecar/tarry_sidecar_main.c) \
		$(BUILD)/libsidecar.a $(BUILD)/libshaping.a
	$(LINK) $(call PKG,--libs,$(PKGS_tarry-sidecar))
$(BUILD)/tarryctl: $(call OBJ,proxy/ctl/tarryctl_main.c) $(BUILD)/libctl.a \
		$(BUILD)/libsimulate.a $(BUILD)/libtarryd.a \
		$(BUILD)/libshaping.a
	$(LINK) $(call PKG,--libs,$(PKGS_tarryctl)) -lm
$(BUILD)/tarry-sink: $(call OBJ,$(wildcard proxy/sink/*.c)) $(BUILD)/libshaping.a
	$(LINK) $(call PKG,--libs,$(PKGS_tarry-sink))

include tests/rules.mk

# What a person calls. Debian's own Python is the one with pytest.
PYTHON ?= $(firstword $(wildcard /usr/bin/python3) python3)
tests: $(UNIT) all
test check: deps-test
	$(PYTHON) tools/test.py $(BUILD)
lint: deps-test
	$(PYTHON) tools/lint.py $(BUILD)
run: deps
	@echo building into $(BUILD)/; $(MAKE) -s -j$$(nproc) all
	@BUILD=$(BUILD) MTA='$(MTA)' LISTEN='$(LISTEN)' MODE='$(MODE)' \
	  HTTP='$(HTTP)' exec tools/run.sh
deps:
	@tools/deps.sh build run
deps-test:
	@tools/deps.sh build run test
deps-bench:
	@tools/deps.sh build run test bench

# Long: every way to leave and to fail, 100,000 times; and the figures.
STORM ?= 100000
storm: deps-test
	$(MAKE) BUILD=$(BUILD)-asan OPT=-O1 SAN='-fsanitize=address,undefined' \
	  all tests
	$(MAKE) all tests
	TARRY_BUILD=$(BUILD) TARRY_STORM=$(STORM) $(PYTHON) -m pytest -q -s \
	  tests/e2e/test_teardown.py
figures: deps-test
	$(MAKE) all tests
	@BUILD=$(BUILD) PYTHON=$(PYTHON) tools/figures.sh

# What is promised, tried with the real programs.
matrix: deps-test
	$(MAKE) -s all tests
	@$(PYTHON) tests/lab/matrix.py --build $(BUILD) \
	  $(if $(MATRIX),$(MATRIX),--write docs/MATRIX.md)
dialects: deps-test
	$(MAKE) -s all tests
	@$(PYTHON) tests/lab/dialects.py --build $(BUILD) \
	  $(if $(DIALECTS),$(DIALECTS),--write docs/DIALECTS.md)
demo: deps-test
	@$(MAKE) -s all tests
	@$(PYTHON) tests/lab/demo.py --build $(BUILD)
bench: deps-bench
	$(MAKE) -s all tests
	@$(PYTHON) tests/bench/bench.py --build $(BUILD) $(BENCH)

# What a million remembered rows cost, in memory and on the disk.
bench-memory:
	$(MAKE) -s $(BUILD)/tests/bench/memory
	@$(BUILD)/tests/bench/memory $(BENCH)
	$(MAKE) -s all $(BUILD)/tests/bench/turns.so
	@TARRY_ROWS=1000000 TARRY_CHANGED=150000 TARRY_BUILD=$(BUILD) \
	  $(PYTHON) -m pytest -q -s tests/e2e/test_store_turns.py

# A mail server of npm, which asks the p0f socket; it wants Node 20.
haraka-install:
	npm install --prefix $(BUILD)/haraka --no-audit --no-fund \
	  --ignore-scripts --engine-strict Haraka@3.3.4 haraka-plugin-p0f@1.0.15
haraka: deps-test haraka-install
	$(MAKE) -s all
	HARAKA=$(abspath $(BUILD)/haraka) TARRY_BUILD=$(BUILD) $(PYTHON) -m \
	  pytest -q tests/e2e/test_p0f.py -k haraka

# The relay under valgrind, driven by the end-to-end tests.
memcheck: deps-test
	$(MAKE) all
	TARRY_BUILD=$(BUILD) TARRY_WRAP="valgrind -q --vgdb=no --error-exitcode=99 \
	  --leak-check=full" $(PYTHON) -m pytest -q tests/e2e

FORMATTED := $(wildcard include/tarry/*.h shaping/*.[ch] proxy/*/*.[ch] \
	tests/*/*.[ch])
format:
	clang-format -i $(FORMATTED)

SBIN = $(DESTDIR)$(PREFIX)/sbin
MAN = $(DESTDIR)$(PREFIX)/share/man
ETC = $(DESTDIR)$(SYSCONFDIR)/tarry
INSTALLED := $(patsubst config/%,%,$(wildcard config/*.ini config/nftables/* \
	config/prometheus/* config/grafana/*))
install: all
	install -d $(SBIN) $(MAN)/man5 $(MAN)/man8 $(ETC)/nftables \
	  $(ETC)/prometheus $(ETC)/grafana
	install -m 755 $(PROGRAMS:%=$(BUILD)/%) $(SBIN)
	install -m 644 $(wildcard docs/*.5) $(MAN)/man5
	install -m 644 $(wildcard docs/*.8) $(MAN)/man8
	install -Dm 644 config/tarryctl.bash \
	  $(DESTDIR)$(PREFIX)/share/bash-completion/completions/tarryctl
	for f in $(INSTALLED); do test -e $(ETC)/$$f || \
	  install -m 644 config/$$f $(ETC)/$$f; done
clean:
	rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-clang $(BUILD)-lint $(BUILD)-fuzz

help:
	@echo 'make            build the programs into $(BUILD)/'
	@echo 'make run        and start it: [MTA=a:p] [LISTEN=a:p] [HTTP=a:p]'
	@echo '                [MODE=shadow]: decide and log, delay nothing'
	@echo 'make test       every test and check; ends with N passed, N failed'
	@echo 'make lint       the checks alone'
	@echo 'make demo       one sender and three bots, in 30 seconds'
	@echo 'make matrix     16 real clients x 4 MTAs x each class, with and without'
	@echo 'make month      a month of three simulated sites, with learning and without'
	@echo 'make dialects   how those clients speak; writes docs/DIALECTS.md'
	@echo 'make bench      beside HAProxy and nginx; writes docs/BENCHMARKS.md'
	@echo 'make bench-memory  a million remembered rows, and their state file'
	@echo 'make haraka     the p0f socket asked by Haraka, installed by npm'
	@echo 'make fuzz       each fuzzer for FUZZ_SECONDS=$(FUZZ_SECONDS)'
	@echo 'make storm      100,000 sessions that end badly, ASan and valgrind'
	@echo 'make figures    the measured figures of the README'
	@echo 'make memcheck   the end-to-end tests under valgrind'
	@echo 'make install    into DESTDIR, PREFIX=$(PREFIX); keeps your files'
	@echo 'make deps       install what a build needs (Debian)'
	@echo 'make deps-test  and what the tests need'
	@echo 'make format     clang-format the sources'
	@echo 'make clean      remove what was built'

.SECONDARY:
.PHONY: all tests test check lint run deps deps-test fuzz fuzzers storm \
	figures matrix dialects demo bench bench-memory month memcheck \
	deps-bench format haraka haraka-install install clean help
-include $(shell find $(BUILD) -type f -name '*.d' 2>/dev/null)
