# How the tests, their tools and the fuzzers are built. Part of the Makefile.

UNIT := $(patsubst tests/%.c,$(BUILD)/tests/%,\
	$(wildcard tests/unit/*_test.c tests/sim/*_test.c))
SIM_LIB := $(filter-out %_test.c,$(wildcard tests/sim/*.c))
FUZZERS := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/*_fuzz.c))

# Those that play the shipped configuration.
MONTH_TESTS := $(BUILD)/tests/sim/a_month_pays_test \
	$(BUILD)/tests/sim/patience_is_found_test \
	$(BUILD)/tests/sim/poisoning_test
UNIT_TESTS := $(filter $(BUILD)/tests/unit/%,$(UNIT))
SIM_TESTS := $(filter $(BUILD)/tests/sim/%,$(UNIT))
$(UNIT_TESTS): %: %.o $(BUILD)/libtarryd.a $(BUILD)/libsidecar.a \
		$(BUILD)/libctl.a $(BUILD)/libsimulate.a \
		$(BUILD)/libshaping.a
	$(CC) -o $@ $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) \
	  -Wl,--end-group $(OUR_LDFLAGS) $(LDFLAGS) \
	  $(call PKG,--libs,cmocka $(PKGS_tarryd) $(PKGS_tarry-sidecar)) -lm
$(filter-out $(MONTH_TESTS),$(SIM_TESTS)): %: %.o $(call OBJ,$(SIM_LIB)) \
		$(BUILD)/libsimulate.a $(BUILD)/libtarryd.a \
		$(BUILD)/libshaping.a
	$(LINK) $(call PKG,--libs,cmocka)

# Load generator and sink of the storms and the figures: raw epoll.
BENCH_TOOLS := $(BUILD)/tests/bench/storm $(BUILD)/tests/bench/storm_sink
$(BENCH_TOOLS): $(call OBJ,tests/bench/mix.c)
	$(LINK)
$(BUILD)/tests/bench/storm: $(call OBJ,tests/bench/storm.c \
		tests/bench/storm_client.c)
$(BUILD)/tests/bench/storm_sink: $(call OBJ,tests/bench/storm_sink.c \
		tests/bench/storm_door.c tests/bench/storm_out.c)
tests: $(BENCH_TOOLS)

# Load generator and sink of the benchmarks.
$(BUILD)/tests/bench/load: $(call OBJ,tests/bench/load.c \
		tests/bench/load_client.c tests/bench/load_times.c \
		tests/bench/load_tls.c)
	$(LINK) $(call PKG,--libs,libssl libcrypto)
$(BUILD)/tests/bench/load_sink: $(call OBJ,tests/bench/load_sink.c)
	$(LINK)
tests: $(BUILD)/tests/bench/load $(BUILD)/tests/bench/load_sink

# What one decision costs: decision [RULES] [NETWORKS] [SECONDS].
$(BUILD)/tests/bench/decision: $(call OBJ,tests/bench/decision.c) \
		$(BUILD)/libtarryd.a $(BUILD)/libshaping.a
	$(LINK) $(call PKG,--libs,inih)
tests: $(BUILD)/tests/bench/decision

# What a look-up in a ledger of a million rows costs: ledger [ROWS].
$(BUILD)/tests/bench/ledger: $(call OBJ,tests/bench/ledger.c) \
		$(BUILD)/libshaping.a
	$(LINK)
tests: $(BUILD)/tests/bench/ledger

# What it costs to keep a million rows: memory [ROWS] [CHANGED].
$(BUILD)/tests/bench/memory: $(call OBJ,tests/bench/memory.c) \
		$(BUILD)/libtarryd.a $(BUILD)/libshaping.a
	$(LINK) $(call PKG,--libs,$(PKGS_tarryd))
tests: $(BUILD)/tests/bench/memory

# To be loaded into tarryd: how long its loops work between two waits.
$(BUILD)/tests/bench/turns.so: tests/bench/turns.c
	@mkdir -p $(@D)
	$(CC) -std=c11 -O2 -fPIC -shared -Wall -Wextra -o $@ $< -ldl
tests: $(BUILD)/tests/bench/turns.so

FUZZ_SECONDS ?= 10
FUZZ_SAN := -fsanitize=fuzzer-no-link,address,undefined
FUZZ_RUNS := $(FUZZERS:%_fuzz=fuzz-%)
fuzz: $(FUZZ_RUNS)
fuzz-build: deps-test
	$(MAKE) BUILD=$(BUILD)-fuzz CC=clang OPT=-O1 SAN='$(FUZZ_SAN)' fuzzers
$(FUZZ_RUNS): fuzz-%: fuzz-build
	@echo "== $*, $(FUZZ_SECONDS) s"
	@c=tests/fuzz/corpus/$*; n=$(BUILD)-fuzz/new/$*_fuzz; mkdir -p $$n; \
	  $(BUILD)-fuzz/tests/fuzz/$*_fuzz -max_total_time=$(FUZZ_SECONDS) \
	    -timeout=5 -print_final_stats=0 -verbosity=0 \
	    -artifact_prefix=$$n/ $$n $$(test -d $$c && echo $$c)
	@echo "ok     fuzz/$*"
.PHONY: fuzz-build $(FUZZ_RUNS)
fuzzers: $(FUZZERS:%=$(BUILD)/tests/fuzz/%)
$(FUZZERS:%=$(BUILD)/tests/fuzz/%): %: %.o $(BUILD)/libsimulate.a \
		$(BUILD)/libtarryd.a \
		$(BUILD)/libsidecar.a $(BUILD)/libctl.a $(BUILD)/libshaping.a
	$(CC) -o $@ $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) \
	  -Wl,--end-group -fsanitize=fuzzer,address,undefined \
	  $(OUR_LDFLAGS) $(LDFLAGS) \
	  $(call PKG,--libs,$(PKGS_tarryd) $(PKGS_tarry-sidecar))

# A month of simulated sites, with and without learning.
MONTH_LIB := $(call OBJ,$(filter-out %_main.c,$(wildcard tests/month/*.c)))
$(MONTH_TESTS): %: %.o $(call OBJ,$(SIM_LIB)) $(MONTH_LIB) \
		$(BUILD)/libsimulate.a $(BUILD)/libtarryd.a $(BUILD)/libshaping.a
	$(LINK) $(call PKG,--libs,cmocka inih)
$(BUILD)/tests/month/month: $(call OBJ,tests/month/month_main.c) \
		$(MONTH_LIB) $(BUILD)/libsimulate.a $(BUILD)/libtarryd.a \
		$(BUILD)/libshaping.a
	$(LINK) $(call PKG,--libs,inih)
month: $(BUILD)/tests/month/month
	@$< $(MONTH) tests/month/populations/*.pop
