# Build, test and install mqueue_rs. `make help` lists the targets.
#
# Needs GNU make, cargo and a C compiler with its binutils; nothing else. The
# work is cargo's; this file adds what cargo does not do: an archive that is
# fit for C programs, the installation, and one command for all checks. A plus
# sign lets cargo share the jobs of `make -j`.

# Where things go. Empty means the default; DESTDIR goes in front of everything.
# On Debian the libraries of /usr live in a directory per machine type, which
# its compilers print; elsewhere they print nothing.
override PREFIX := $(abspath $(or $(PREFIX),/usr/local))
MULTIARCH := $(if $(filter /usr,$(PREFIX)),$(shell $(CC) -print-multiarch 2>/dev/null))
override LIBDIR := $(abspath $(or $(LIBDIR),$(PREFIX)/lib/$(MULTIARCH)))
override INCLUDEDIR := $(abspath $(or $(INCLUDEDIR),$(PREFIX)/include))
PKGCONFIGDIR = $(LIBDIR)/pkgconfig

LD = ld
OBJCOPY = objcopy

# The version is Cargo's; the soname is build.rs's.
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
SONAME := $(shell sed -n 's/^const SONAME: &str = "\(.*\)";/\1/p' build.rs)

CARGO_TARGET_DIR ?= target
export CARGO_TARGET_DIR
RELEASE := $(CARGO_TARGET_DIR)/release
NATIVE_LIBS := $(RELEASE)/native-static-libs
ARCHIVE := $(CARGO_TARGET_DIR)/archive/libmqueue_rs.a

# Directories too, so that a file that went away counts as a change.
SOURCES := $(shell find src core/src) build.rs cbindgen.toml Cargo.toml Cargo.lock core/Cargo.toml

.PHONY: build
build: $(ARCHIVE) dropin ## the libraries, optimised (the default)

# Make itself sees what is up to date, so that `make && sudo make install` works
# where root has no cargo. The touch is for sources that are newer but not changed.
$(NATIVE_LIBS): $(SOURCES)
	+cargo rustc --release --lib -- --print native-static-libs=$(abspath $@)
	touch -c $@

# rustc's archive holds the whole Rust run-time library with its global names,
# some of which (rust_eh_personality) every Rust archive has: two of them in one
# program clash. This one is a single object with the parts that the C functions
# need, and only their names are global. Bitcode goes too: it is of no use to
# anybody, and the plug-in of an older LLVM makes nm and ar choke on it.
$(ARCHIVE): $(NATIVE_LIBS) abi/mqueue_rs.symbols
	mkdir -p $(@D)
	rm -f $@
	$(LD) -r --gc-sections --force-group-allocation $$(sed 's/^/-u /' abi/mqueue_rs.symbols) \
		$(RELEASE)/libmqueue_rs.a -o $(@D)/mqueue_rs.o
	$(OBJCOPY) --keep-global-symbols=abi/mqueue_rs.symbols --strip-unneeded \
		--remove-section=.llvmbc --remove-section=.llvmcmd $(@D)/mqueue_rs.o
	$(AR) rcs $@ $(@D)/mqueue_rs.o
	rm $(@D)/mqueue_rs.o

# The drop-in for <mqueue.h> and <sys/msg.h>. Its functions are C, since a thread may be cancelled in them,
# and cargo would not export them; so the library is linked here, from the Rust half as an
# archive. It exports the names of its list and nothing else, without a version: with one of
# our own the loader would pass it over.
#
# DROPIN_TARGET=i686-unknown-linux-gnu makes the one for programs of 32 bits, which has a few names
# more: those of calls with 64-bit times.
DROPIN := $(abspath $(CARGO_TARGET_DIR))/dropin$(if $(DROPIN_TARGET),/$(DROPIN_TARGET))
DROPIN_ARCHIVE = $(CARGO_TARGET_DIR)$(if $(DROPIN_TARGET),/$(DROPIN_TARGET))/release/libmqueue_dropin.a
DROPIN_CC = $(CC) $(if $(filter i686-%,$(DROPIN_TARGET)),-m32) -std=gnu11 -O2 -g -fPIC -Wall -Wextra

.PHONY: dropin
dropin: $(DROPIN)/libmqueue_dropin.so ## libmqueue_dropin.so, for unmodified <mqueue.h> and <sys/msg.h> programs

$(DROPIN)/libmqueue_dropin.so: $(wildcard dropin/*.c dropin/*.h abi/mqueue_dropin.symbols*) \
		$(SOURCES) $(shell find dropin/src) dropin/Cargo.toml
	+cargo rustc -p mqueue_dropin --release --lib --crate-type staticlib \
		$(addprefix --target ,$(DROPIN_TARGET)) -- --print native-static-libs=$(DROPIN)/native-static-libs
	{ echo '{ global:'; sed 's/$$/;/' abi/mqueue_dropin.symbols; \
		! echo __SIZEOF_POINTER__ | $(DROPIN_CC) -E - | grep -qx 4 || \
			sed 's/$$/;/' abi/mqueue_dropin.symbols.32; echo 'local: *; };'; } > $(DROPIN)/exports
	$(DROPIN_CC) -shared -o $@ dropin/*.c $(DROPIN_ARCHIVE) \
		-Wl,-soname,libmqueue_dropin.so -Wl,--version-script=$(DROPIN)/exports \
		-Wl,--gc-sections -Wl,-z,nodelete -Wl,-z,now $$(cat $(DROPIN)/native-static-libs) -ldl
# The place for it; cargo does not make it.
$(DROPIN)/libmqueue_dropin.so: | $(DROPIN)
$(DROPIN):
	mkdir -p $@

# Programs that others wrote for the kernel's queues; installs what they need. What cannot be
# tried is told as by `test`.
DROPIN_SKIPS := $(abspath $(CARGO_TARGET_DIR))/test-dropin.skips

.PHONY: test-dropin
test-dropin: export MQRS_SKIP_LOG := $(DROPIN_SKIPS)
test-dropin: dropin ## other people's programs on the drop-in, beside the kernel (RATE=1: how fast)
	@: > $(DROPIN_SKIPS)
	@tools/test-dropin $(if $(RATE),--rate) $(DROPIN)/libmqueue_dropin.so
	@tools/report-skips $(DROPIN_SKIPS) tests/allowed_skips

# Formatting, lints, then every test: Rust, C, header, exported symbols, install.
# A test that finds something missing on this machine says so in the skip log.
SKIPS := $(abspath $(CARGO_TARGET_DIR))/skips.log

.PHONY: test
test: export MQRS_SKIP_LOG := $(SKIPS)
# Tests compare the committed headers with the sources; a build must not mend them first.
test: export MQRS_KEEP_HEADERS := 1
test: ## everything that must hold before a change goes in
	@mkdir -p $(dir $(SKIPS)) && : > $(SKIPS)
	@tools/check-tools
	@if cargo fmt --version >/dev/null 2>&1; then set -x; cargo fmt --all --check && \
		cargo fmt --manifest-path bench/Cargo.toml --check && \
		cargo fmt --manifest-path fuzz/Cargo.toml --check; fi
	+@if cargo clippy --version >/dev/null 2>&1; then set -x; \
		cargo clippy --workspace --all-targets --features mqueue_core/faults -- -D warnings; fi
	+$(MAKE) targets
	+$(MAKE) oldest
	+cargo test --workspace
	+cargo test -p mqueue_core --features faults --test crash --test torture \
		--test order --test histories --test hostile --test threads --test typed
	+$(MAKE) models
	+$(MAKE) models NARROW=1 PATIENCE=0
	+$(MAKE) bench-test
	@tools/report-skips $(SKIPS) tests/allowed_skips

# Those that compile the same sources otherwise: 32 bits, a weaker memory model, another C
# library, for which some tests are not written. (Programs of 32 bits are also run:
# tests/ctests.rs, `of_32_bits`.)
TARGETS := i686-unknown-linux-gnu aarch64-unknown-linux-gnu x86_64-unknown-linux-musl

.PHONY: targets
targets: ## lints for other kinds of machines, where rustup has their targets
	+@if cargo clippy --version >/dev/null 2>&1; then \
		for target in $(TARGETS); do \
			[ -d "$$(rustc --print target-libdir --target $$target)" ] || continue; \
			case $$target in *-musl) part=--lib;; *) part=--all-targets;; esac; \
			(set -x; cargo clippy --workspace $$part --features mqueue_core/faults \
				--target $$target -- -D warnings) || exit; \
		done; fi

# In a place of its own, or each change between the two compilers would build everything anew.
OLDEST := $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)

.PHONY: oldest
oldest: ## that the oldest Rust that must work compiles the library, where rustup has it
	+@if rustc +$(OLDEST) --version >/dev/null 2>&1; then set -x; \
		CARGO_TARGET_DIR=$(CARGO_TARGET_DIR)/oldest MQRS_KEEP_HEADERS=1 \
		cargo +$(OLDEST) check --workspace; fi

# The models replace every atomic by loom's, so they have a target directory of
# their own; else each change between the two would build everything anew.
MODELS := $(if $(NARROW),narrow,models)

.PHONY: models
models: export PATIENCE ?= 1
models: ## every schedule of the engine's small cases (PATIENCE=20: for longer; NARROW=1: counters wrap)
	+RUSTFLAGS="--cfg loom $(if $(NARROW),--cfg narrow)" \
		CARGO_TARGET_DIR=$(CARGO_TARGET_DIR)/$(MODELS) \
		cargo test --release -p mqueue_core --test loom -- --nocapture

# The shared library under the names by which it is linked and found; for programs
# that run from the tree.
LINK := $(abspath $(CARGO_TARGET_DIR))/link

$(LINK)/$(SONAME):
	mkdir -p $(@D)
	ln -sf ../release/libmqueue_rs.so $(@D)/libmqueue_rs.so
	ln -sf ../release/libmqueue_rs.so $@

# Producer and consumer exist twice, from the same sources: with the library, and with
# the kernel's queues.
DEMO := $(abspath $(CARGO_TARGET_DIR))/demo
DEMO_PROGRAMS := $(addprefix $(DEMO)/,demo producer consumer producer-kernel consumer-kernel)
DEMO_LIB := -L$(LINK) -lmqueue_rs -Wl,-rpath,$(LINK)
CFLAGS ?= -O2 -Wall -Wextra

$(DEMO_PROGRAMS): examples/c/demo/demo.h examples/c/demo/common.c include/mqueue_rs.h
$(DEMO_PROGRAMS): $(NATIVE_LIBS) | $(LINK)/$(SONAME) $(DEMO)
$(DEMO):
	mkdir -p $@

$(DEMO)/demo: examples/c/demo/check.c
$(DEMO)/demo $(DEMO)/producer $(DEMO)/consumer: $(DEMO)/%: examples/c/demo/%.c
	$(CC) -std=c99 $(CFLAGS) -Iinclude $(filter %.c,$^) $(DEMO_LIB) -lrt -o $@

$(DEMO)/producer-kernel $(DEMO)/consumer-kernel: examples/c/demo/kernel.c
$(DEMO)/producer-kernel $(DEMO)/consumer-kernel: $(DEMO)/%-kernel: examples/c/demo/%.c
	$(CC) -std=c99 $(CFLAGS) -Iinclude $(filter %.c,$^) -lrt -o $@

# The files are this project's own: those of a clone and of a release are the same.
.PHONY: demo
demo: $(DEMO_PROGRAMS) ## pass real files through queues, beside the kernel's (DEMO_REPEAT=1: briefly)
	@find . \( -name '.?*' -o -name target -o -path './$(CARGO_TARGET_DIR:$(CURDIR)/%=%)' \) -prune -o \
		-type f \( -name '*.rs' -o -name '*.c' -o -name '*.h' -o -name '*.md' \) \
		-exec $(DEMO)/demo $(if $(DEMO_REPEAT),-n $(DEMO_REPEAT)) {} +

BENCH_CARGO = MQRS_LIBRARY=$(LINK) CARGO_TARGET_DIR=$(abspath $(CARGO_TARGET_DIR))/bench cargo
BENCH_OPTIONS = --release --locked --manifest-path bench/Cargo.toml --features '$(BENCH_FEATURES)'

.PHONY: bench bench-test
bench: $(NATIVE_LIBS) | $(LINK)/$(SONAME) ## measure, beside other queues (BENCH="--quick --only mixed")
	+@$(BENCH_CARGO) run --quiet $(BENCH_OPTIONS) -- $(BENCH)
bench-test: $(NATIVE_LIBS) | $(LINK)/$(SONAME) ## that the measurements work
	+$(BENCH_CARGO) test $(BENCH_OPTIONS)

# Processes killed and stopped at random; says its SEED, which plays it again (nearly:
# the machine's own hazards are not in it).
.PHONY: torture
torture: export SECONDS ?= 60
torture: export SEED ?=
torture: ## kill and stop processes for SECONDS (60), from SEED
	+cargo test -p mqueue_core --features faults --test torture

# What each call answered, held against its begin and end: OPERATIONS of them under full
# load, a tenth of that in short races that are searched for an order.
.PHONY: order
order: export OPERATIONS ?= 100000000
order: export SEED ?=
order: ## judge the order of OPERATIONS (100 million) calls, from SEED
	+cargo test -p mqueue_core --test order
	+cargo test -p mqueue_core --features faults --test order --test histories

.PHONY: standstill
standstill: export SECONDS ?= 60
standstill: ## stop all processes but one, again and again, for SECONDS (60)
	+cargo test --test ctests -- --exact --nocapture shared::standstill

# Mutated files, opened and used; a failure names its CASE, which SEED and CASE repeat.
.PHONY: hostile
hostile: export COUNT ?= 100000
hostile: export SEED ?=
hostile: export CASE ?=
hostile: ## use COUNT (100000) mutated queue files, from SEED
	+cargo test -p mqueue_core --features faults --test hostile

.PHONY: fuzz
fuzz: export SECONDS ?= 300
fuzz: ## coverage-guided attacks, SECONDS (300) in all, on TARGET (all of fuzz/fuzz_targets)
	+@CARGO_TARGET_DIR=$(abspath $(CARGO_TARGET_DIR))/fuzz tools/fuzz $(TARGET)

# Half an hour: each mutant is a build and a test. Its line of output names the test.
.PHONY: mutants
mutants: ## that some test fails for each way to break the code in mutants/
	@tools/check-tools
	+tools/mutants --baseline

# Checkers of memory accesses; tools/sanitize says which does what. Each by itself runs
# its longer form.
.PHONY: sanitizers all-but-miri miri tsan asan valgrind
sanitizers: ## the four below in their short forms
	+$(MAKE) -j2 --output-sync=target SHORT=--short miri all-but-miri
miri: ## the engine in Miri (SEEDS=16 schedules); no system calls, no C
miri tsan asan valgrind:
	+tools/sanitize $(SHORT) $@
all-but-miri:
	+@tools/sanitize $(SHORT) asan tsan valgrind
tsan: ## ThreadSanitizer: engine, C programs; no races between processes
asan: ## AddressSanitizer, UBSan: C programs, library; no unset values
valgrind: ## memcheck: C programs, library as installed; no stack bounds

.PHONY: check-tools
check-tools: ## what the tests need; installs what root may install
	@tools/check-tools

# For static linking: the system libraries that rustc names, without the two that
# every compiler driver adds by itself, in the form that fits -static or not.
PRIVATE_LIBS = $$(sed 's/-lgcc_s *//; s/ *-lc$$//' $(NATIVE_LIBS))

.PHONY: install
install: build ## into PREFIX (/usr/local), LIBDIR, INCLUDEDIR, below DESTDIR
	install -d '$(DESTDIR)$(LIBDIR)' '$(DESTDIR)$(INCLUDEDIR)' '$(DESTDIR)$(PKGCONFIGDIR)'
	install -m 755 $(RELEASE)/libmqueue_rs.so '$(DESTDIR)$(LIBDIR)/libmqueue_rs.so.$(VERSION)'
	ln -sf libmqueue_rs.so.$(VERSION) '$(DESTDIR)$(LIBDIR)/$(SONAME)'
	ln -sf $(SONAME) '$(DESTDIR)$(LIBDIR)/libmqueue_rs.so'
	install -m 755 $(DROPIN)/libmqueue_dropin.so '$(DESTDIR)$(LIBDIR)'
	install -m 644 $(ARCHIVE) '$(DESTDIR)$(LIBDIR)/libmqueue_rs.a'
	install -m 644 include/mqueue_rs.h include/mqueue_rs.cdef.h '$(DESTDIR)$(INCLUDEDIR)'
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' \
		-e 's|@LIBDIR@|$(LIBDIR:$(PREFIX)/%=$${prefix}/%)|' \
		-e 's|@INCLUDEDIR@|$(INCLUDEDIR:$(PREFIX)/%=$${prefix}/%)|' \
		-e "s|@LIBS_PRIVATE@|$(PRIVATE_LIBS)|" \
		pkgconfig/mqueue_rs.pc.in > '$(DESTDIR)$(PKGCONFIGDIR)/mqueue_rs.pc'
	chmod 644 '$(DESTDIR)$(PKGCONFIGDIR)/mqueue_rs.pc'

.PHONY: uninstall
uninstall: ## remove what install put there (same variables)
	rm -f '$(DESTDIR)$(LIBDIR)/libmqueue_rs.so.$(VERSION)' \
		'$(DESTDIR)$(LIBDIR)/$(SONAME)' \
		'$(DESTDIR)$(LIBDIR)/libmqueue_rs.so' \
		'$(DESTDIR)$(LIBDIR)/libmqueue_rs.a' \
		'$(DESTDIR)$(LIBDIR)/libmqueue_dropin.so' \
		'$(DESTDIR)$(INCLUDEDIR)/mqueue_rs.h' \
		'$(DESTDIR)$(INCLUDEDIR)/mqueue_rs.cdef.h' \
		'$(DESTDIR)$(PKGCONFIGDIR)/mqueue_rs.pc'

.PHONY: clean
clean: ## remove everything that was built
	cargo clean

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 22

.DELETE_ON_ERROR:
