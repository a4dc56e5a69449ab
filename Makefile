# Tarry. `make help` lists the targets. User flags are appended to ours.

BUILD ?= build
PREFIX ?= /usr/local
PKGS_tarryd := libuv inih libmicrohttpd libxxhash libcap-ng
PKGS_tarry-sidecar := libuv libpcap libxxhash libcap-ng
PKGS_tarry-sink := libuv
PKG = $(shell pkg-config $(1) $(2) 2>/dev/null)

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion \
	-Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition \
	-Wpointer-arith -Wcast-align -Wcast-qual -Wwrite-strings -Wformat=2 \
	-Wundef -Wvla -Wswitch-enum -Wimplicit-fallthrough -Wnull-dereference \
	-Wdouble-promotion -Wenum-conversion
ifneq ($(findstring clang,$(CC)),clang)
WARN += -Wlogical-op -Wduplicated-cond -Wduplicated-branches \
	-Wjump-misses-init -Wframe-larger-than=4096
endif
ifdef CI
WARN += -Werror
endif
OPT ?= -O2 -D_FORTIFY_SOURCE=2
OUR_CFLAGS := -std=c11 -D_GNU_SOURCE -g -Iinclude -I. -I$(BUILD)/gen $(WARN) \
	-fstack-protector-strong -fPIE -pthread -MMD -MP
LIBS_CFLAGS := $(call PKG,--cflags,$(PKGS_tarryd) $(PKGS_tarry-sidecar))
OUR_LDFLAGS := -pie -pthread -Wl,-z,relro,-z,now $(SAN)
COMPILE = $(CC) $(OUR_CFLAGS) $(OPT) $(SAN) $(LIBS_CFLAGS) $(CPPFLAGS) $(CFLAGS)

VERSION := 0.1.0
CPPFLAGS += -DTARRY_VERSION='"$(VERSION)"'

# Rooms. A main() lives in NAME_main.c or in its own room's main.c.
SHAPING := $(wildcard shaping/*.c)
MAINS := proxy/daemon/tarryd_main.c proxy/sidecar/tarry_sidecar_main.c \
	proxy/sink/tarry_sink_main.c
PROXY := $(filter-out $(MAINS),$(wildcard proxy/*/*.c))
SIDECAR := $(filter proxy/sidecar/%,$(PROXY))
TARRYD := $(filter-out $(SIDECAR) proxy/sink/%,$(PROXY))
OBJ = $(patsubst %.c,$(BUILD)/%.o,$(1))

PROGRAMS := tarryd tarry-sidecar tarry-sink
UNIT := $(patsubst tests/%.c,$(BUILD)/tests/%,\
	$(wildcard tests/unit/*_test.c tests/sim/*_test.c))
SIM_LIB := $(filter-out %_test.c,$(wildcard tests/sim/*.c))
FUZZERS := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/*_fuzz.c))

all: $(PROGRAMS:%=$(BUILD)/%)

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(COMPILE) -c -o $@ $<

$(BUILD)/libshaping.a: $(call OBJ,$(SHAPING))
	@rm -f $@; $(AR) rcs $@ $^
$(BUILD)/libtarryd.a: $(call OBJ,$(TARRYD))
	@rm -f $@; $(AR) rcs $@ $^
$(BUILD)/libsidecar.a: $(call OBJ,$(SIDECAR))
	@rm -f $@; $(AR) rcs $@ $^

# config/tarry.ini is compiled in: it is what tarryd runs on with no file.
$(BUILD)/gen/tarry_ini.h: config/tarry.ini
	@mkdir -p $(@D)
	xxd -i -n tarry_ini $< | sed 's/^unsigned/static const unsigned/' >$@
$(call OBJ,$(wildcard proxy/config/*.c)): | $(BUILD)/gen/tarry_ini.h

LINK = $(CC) -o $@ $(filter %.o %.a,$^) $(OUR_LDFLAGS) $(LDFLAGS)
$(BUILD)/tarryd: $(call OBJ,proxy/daemon/tarryd_main.c) $(BUILD)/libtarryd.a \
		$(BUILD)/libshaping.a
	$(LINK) $(call PKG,--libs,$(PKGS_tarryd))
$(BUILD)/tarry-sidecar: $(call OBJ,proxy/sidecar/tarry_sidecar_main.c) \
		$(BUILD)/libsidecar.a $(BUILD)/libshaping.a
	$(LINK) $(call PKG,--libs,$(PKGS_tarry-sidecar))
$(BUILD)/tarry-sink: $(call OBJ,$(wildcard proxy/sink/*.c)) $(BUILD)/libshaping.a
	$(LINK) $(call PKG,--libs,$(PKGS_tarry-sink))

$(BUILD)/tests/unit/% $(BUILD)/tests/sim/%: $(call OBJ,$(SIM_LIB)) \
		$(BUILD)/libtarryd.a $(BUILD)/libsidecar.a $(BUILD)/libshaping.a
	$(CC) -o $@ $(filter-out %.a,$^) -Wl,--start-group $(filter %.a,$^) \
	  -Wl,--end-group $(OUR_LDFLAGS) $(LDFLAGS) \
	  $(call PKG,--libs,cmocka $(PKGS_tarryd) $(PKGS_tarry-sidecar))
$(foreach t,$(UNIT),$(eval $(t): $(t).o))

.SECONDARY:
.PHONY: all
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
