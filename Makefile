# ClusterKit: the only commands a newcomer needs. Each target installs what it needs: cargo fetches crates, rustup
# its components, apt-get a Debian package when this is root and the package is missing.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:
# Recipes run one after the other: cargo has the cores, and there is one target folder for all crates.
.NOTPARALLEL:

# Where rustup and the archives of go.dev put their tools.
export PATH := $(PATH):$(HOME)/.cargo/bin:/usr/local/go/bin
export CARGO_TARGET_DIR ?= $(CURDIR)/target

# rust-toolchain.toml says stable. Where rustup has none, as in a container with a numbered one, its default has to do: no
# target downloads a second toolchain in order to build.
ifndef RUSTUP_TOOLCHAIN
INSTEAD := $(shell PATH="$(PATH)" rustup toolchain list 2> /dev/null \
  | awk '/^stable/ { stable = 1 } /default/ { name = $$1 } END { if (!stable) print name }')
ifneq ($(INSTEAD),)
export RUSTUP_TOOLCHAIN := $(INSTEAD)
endif
endif

PREFIX ?= /usr/local
DESTDIR ?=
# The profile that the library in the Go modules is built with.
GO_PROFILE ?= dist
# The same of the npm package.
NODE_PROFILE ?= dist
ARM64 ?=
AMD64 ?=
# Passed on: make demo ARGS='--nodes 5 --keep', make bench ARGS=writes.
ARGS ?=
VERSION := $(shell sed -n 's/^version = "\(.*\)"$$/\1/p' Cargo.toml | head -n 1)
# The oldest Rust that will do.
MSRV := $(shell sed -n 's/^rust-version = "\(.*\)"$$/\1/p' Cargo.toml | head -n 1)
# What is published on crates.io.
CRATES = clusterkit clusterkit-cli
# What cannot be had on a machine is skipped, and said. Where this is set, as in CI, it is a failure instead.
export STRICT ?=
skipped = { echo "SKIPPED: $(1)"; test -z "$$STRICT"; exit; }
# For make sim and make soak: how many seeds from which, one to be replayed, how long.
SEEDS ?= 200
SIM_SECONDS ?=
SEED ?= 1
REPLAY ?=
TRACES ?=
MINUTES ?= $(if $(filter-out 0,$(HOURS)),0,10)
HOURS ?= 0
ONLY ?=
SIM = $(CARGO_TARGET_DIR)/sim/ck-sim
# One build for all that is simulated: the faults are in it, and none is planted unless a hunt asks for it.
BUILD_SIM = cargo build --profile sim --locked -p ck-simulation --features planted-bugs
RELEASE = $(CARGO_TARGET_DIR)/release
# What is installed and shipped is built with the profile of that name: see Cargo.toml. With GLIBC=2.17 it runs where the C
# library is as old as that: zig links it then (`pip install ziglang cargo-zigbuild`).
GLIBC ?=
ZIG_TARGET = $(shell uname -m)-unknown-linux-gnu
DIST = $(CARGO_TARGET_DIR)/$(if $(GLIBC),$(ZIG_TARGET)/)dist
CARGO_DIST = $(if $(GLIBC),cargo-zigbuild,cargo)
DIST_FLAGS = --profile dist --locked $(if $(GLIBC),--target $(ZIG_TARGET).$(GLIBC))
# The C libraries by themselves: with the Rust form beside them, which cannot be optimised as a whole, they would not be either.
BUILD_DIST_LIB = $(CARGO_DIST) rustc $(DIST_FLAGS) -p ck-ffi --lib --crate-type cdylib,staticlib
BUILD_DIST = $(BUILD_DIST_LIB); $(CARGO_DIST) $(if $(GLIBC),zigbuild,build) $(DIST_FLAGS) -p clusterkit-cli

.PHONY: help
help: ## Show this
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: build
build: tools ## Build the libraries and the clusterkit command, optimised
	@# Not the native halves of the Python and Node.js packages: make wheel and make npm-pack build them.
	cargo build --release --workspace --exclude ck-python --exclude ck-node --locked
	# Cargo's name for them is that of their crate, which cannot be the name of the library for Rust.
	ln -f "$(RELEASE)/libck_ffi.so" "$(RELEASE)/libclusterkit.so"
	ln -f "$(RELEASE)/libck_ffi.a" "$(RELEASE)/libclusterkit.a"

.PHONY: demo
demo: tools ## Ten real processes form a cluster, route keys, take in an eleventh, survive a restart (ARGS=..., or ARGS=--mixed: one in each language)
	@if [ "$(ARGS)" = --mixed ]; then exec python3 examples/mixed/run.py; fi
	cargo build --release --locked -p clusterkit-cli
	exec "$(RELEASE)/clusterkit" demo $(ARGS)

.PHONY: demo-kv
demo-kv: tools ## Ten key-value servers, in every language: shared keys, a node more, a node dies, a rolling restart; what is lost (ARGS='--mode async --store sqlite')
	@exec python3 examples/kv/run.py --languages "$(or $(LANGUAGES),all)" $(ARGS)

.PHONY: test
test: tools-test ## Run every test of every language, and count them
	@python3 tests/run.py

.PHONY: chaos
chaos: tools ## Kill, stop and cut off real processes until the time is over (MINUTES=10 SEED=1)
	@CHAOS_MINUTES=$(or $(MINUTES),10) CHAOS_SEED=$(or $(SEED),1) \
	  cargo test --locked -p ck-tests --test chaos -- --nocapture

.PHONY: bench
bench: tools ## Run the benchmarks: one table, also as JSON and in docs/benchmarks.md (ARGS=...)
	@cargo bench --locked -p clusterkit --bench '*'
	# As it is shipped: size counts, too.
	cargo run --profile dist --locked -p ck-bench -- --json "$(CARGO_TARGET_DIR)/bench.json" --dir "$(CARGO_TARGET_DIR)" $(ARGS)
	# The page shows everything or nothing: a run of some parts does not touch it.
	[ -n "$(ARGS)" ] || python3 bench/page.py "$(CARGO_TARGET_DIR)/bench.json"

.PHONY: bench-native
bench-native: tools ## Time the hot calls and events in C and C++, through the library as it is shipped, beside a bare MD5 of the same key
	@$(BUILD_DIST_LIB)
	folder="$(CARGO_TARGET_DIR)/bench-native"
	mkdir -p "$$folder"
	ln -sf "$(DIST)/libck_ffi.so" "$$folder/libclusterkit.so"
	ln -sf "$(DIST)/libck_ffi.so" "$$folder/libclusterkit.so.1"
	flags=(-O2 -Wall -Wextra -Werror -Iinclude)
	link=(-L"$$folder" -lclusterkit -Wl,-rpath,"$$folder" -pthread)
	$(or $(CC),cc) -std=gnu11 "$${flags[@]}" bench/native/hot_calls.c -o "$$folder/hot_calls" "$${link[@]}"
	$(or $(CC),cc) -std=gnu11 "$${flags[@]}" bench/native/events.c -o "$$folder/events" "$${link[@]}"
	c++ -std=c++17 "$${flags[@]}" bench/native/hot_calls.cpp -o "$$folder/hot_calls_cpp" "$${link[@]}"
	for program in hot_calls hot_calls_cpp events; do
	  "$$folder/$$program"
	done

.PHONY: sim
sim: tools ## Simulate whole clusters (SEEDS=200 SEED=1 SIM_SECONDS= TRACES=file, or REPLAY=seed)
	@$(BUILD_SIM)
	if [ -n "$(REPLAY)" ]; then exec "$(SIM)" replay $(REPLAY); fi
	exec "$(SIM)" run --seeds $(SEEDS) --seed $(SEED) $(if $(SIM_SECONDS),--seconds $(SIM_SECONDS)) $(if $(TRACES),--traces $(TRACES))

.PHONY: fuzz
fuzz: tools ## Fuzz what reads bytes from outside, each target or one for so long (TARGET=log SECONDS=60)
	@exec fuzz/run.sh $(or $(SECONDS),60) $(TARGET)

.PHONY: soak
soak: tools ## Build C and C++ programs in all ways, end 1,000 Python processes, fuzz, simulate, play Kubernetes, then trouble real processes and key-value servers (MINUTES=60 or HOURS=8, SEED=1)
	@CHECK_EVERYTHING=1 cargo test --locked -p ck-ffi --test c --test cpp
	CLUSTERKIT_EXITS=1000 python3 bindings/python/test.py -k process_ends
	# The other cryptography for TLS.
	cargo test --locked -p clusterkit --features aws-lc-rs --lib -- tls security::
	all=$$(( $(MINUTES) + 60 * $(HOURS) ))
	# Each fuzz target has a minute, all of them together at most a third of the time.
	targets=$$(cat fuzz/Cargo.toml fuzz/abi/Cargo.toml | grep -c '^\[\[bin\]\]')
	each=$$(( all * 20 / targets < 60 ? all * 20 / targets : 60 ))
	fuzzed=0
	fuzz/run.sh $$each || fuzzed=$$?
	case $$fuzzed in
	  0) ;;
	  3) echo "SKIPPED: the fuzz targets"; test -z "$$STRICT"; each=0 ;;
	  *) exit $$fuzzed ;;
	esac
	minutes=$$(( (all - each * targets / 60 + 2) / 3 ))
	$(BUILD_SIM)
	"$(SIM)" soak --minutes $$minutes --seed $(SEED)
	python3 tests/kv/check.py --languages all --profile release --minutes $$minutes --seed $(SEED)
	$(MAKE) --no-print-directory pods
	exec $(MAKE) --no-print-directory chaos MINUTES=$$minutes SEED=$(SEED)

.PHONY: pods
pods: tools ## As root: ten key-value servers in namespaces, started, updated and deleted as Kubernetes would (ARGS='--pods 5 --logs')
	@tests/needs.sh python3:python3 ip:iproute2
	cargo build --release --locked -p kv -p clusterkit-cli
	exec python3 tests/deploy/orchestrator.py --kv "$(RELEASE)/kv" --clusterkit "$(RELEASE)/clusterkit" $(ARGS)

.PHONY: planted
planted: tools ## Every fault that is planted must be found by the simulation (ONLY=name)
	@$(BUILD_SIM)
	exec "$(SIM)" planted $(if $(ONLY),--only $(ONLY))

.PHONY: miri
miri: tools ## Run the C layer's unit tests under Miri, which knows what C may do with a pointer and what not
	@if ! cargo +nightly miri --version > /dev/null 2>&1 \
	  && ! rustup component add --toolchain nightly miri rust-src 2> /dev/null \
	  && ! rustup toolchain install nightly --no-self-update --allow-downgrade --profile minimal --component miri,rust-src; then
	  $(call skipped,Miri: nightly Rust with it cannot be installed here)
	fi
	# A pointer that has gone through C is the same pointer: nothing may make one of a number. Except where threads wait for each
	# other: parking_lot does.
	MIRIFLAGS=-Zmiri-strict-provenance cargo +nightly miri test --locked -p ck-ffi --lib -- --skip done:: --skip events::
	MIRIFLAGS=-Zmiri-permissive-provenance cargo +nightly miri test --locked -p ck-ffi --lib -- done:: events::

.PHONY: msrv
msrv: tools ## Check everything with the oldest Rust that the project promises to build with
	@if ! cargo +$(MSRV) --version > /dev/null 2>&1 \
	  && ! rustup toolchain install $(MSRV) --no-self-update --profile minimal; then
	  $(call skipped,rust-version: Rust $(MSRV) cannot be installed here)
	fi
	cargo +$(MSRV) check --workspace --all-targets --locked

.PHONY: lint
lint: tools-lint ## Check format, lints, documentation, dependencies and the rules of the house
	@cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy -p clusterkit --all-targets --locked -- -D warnings
	cargo clippy -p clusterkit --features testing --all-targets --locked -- -D warnings
	cargo clippy -p clusterkit --features sim --all-targets --locked -- -D warnings
	cargo clippy -p clusterkit --features fuzz,testing --all-targets --locked -- -D warnings
	cargo clippy -p clusterkit --features aws-lc-rs --lib --locked -- -D warnings
	cargo clippy -p ck-simulation --features planted-bugs --all-targets --locked -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked
	RUSTDOCFLAGS='-D warnings' cargo doc -p clusterkit --features testing --no-deps --locked
	tests/deny.sh
	tests/deploy/tools.sh
	python3 tests/house.py

.PHONY: package
package: tools ## Make the crates for crates.io, and build each from its own tarball (ARGS=--allow-dirty)
	@# Together, so that the command is built with the library's tarball: cargo can since 1.90.
	cargo package --locked $(addprefix -p ,$(CRATES)) $(ARGS)
	for crate in $(CRATES); do
	  files="$$(tar -tf "$(CARGO_TARGET_DIR)/package/$$crate-$(VERSION).crate")"
	  for file in README.md LICENSE-MIT LICENSE-APACHE; do
	    grep -qx "$$crate-$(VERSION)/$$file" <<< "$$files" || { echo "$$crate is packed without $$file" >&2; exit 1; }
	  done
	done

.PHONY: dist
dist: tools ## Pack what make install installs, as a release has it: a tarball, and a Debian package where there is dpkg (GLIBC=2.17)
	@name="clusterkit-$(VERSION)-linux-$$(uname -m)"
	packed="$(CARGO_TARGET_DIR)/packed"
	tree="$$packed/$$name"
	rm -rf "$$tree"
	$(MAKE) --no-print-directory install DESTDIR="$$tree" PREFIX=
	cp README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE "$$tree/"
	cd "$$packed"
	tar --owner=0 --group=0 --sort=name -czf "$$name.tar.gz" "$$name"
	sha256sum "$$name.tar.gz" > "$$name.tar.gz.sha256"
	echo "$$packed/$$name.tar.gz"
	if command -v dpkg-deb > /dev/null; then
	  "$(CURDIR)/packaging/deb.sh" "$$tree" "$(VERSION)" "$$packed/clusterkit_$(VERSION)_$$(dpkg --print-architecture).deb"
	  echo "$$packed/clusterkit_$(VERSION)_$$(dpkg --print-architecture).deb"
	fi

.PHONY: go-modules
go-modules: tools ## Pack the Go modules, and build a program with them in an empty folder (GO_PROFILE=dist ARM64=library.a AMD64=library.a)
	@tests/needs.sh go:golang-go
	out="$(CARGO_TARGET_DIR)/go-modules"
	rm -rf "$$out"
	mkdir -p "$$out"
	case "$$(uname -m)" in x86_64) here=linux-amd64 ;; aarch64) here=linux-arm64 ;; *) echo 'there is no module for this platform' >&2; exit 1 ;; esac
	cargo rustc --profile $(GO_PROFILE) --locked -p ck-ffi --lib --crate-type cdylib,staticlib
	packaging/static.sh "$(CARGO_TARGET_DIR)/$(GO_PROFILE:dev=debug)/libck_ffi.a" include/clusterkit.h "$$out/libclusterkit.a"
	# That of the other platform was built on a machine of that kind.
	declare -A library=([linux-amd64]="$(or $(AMD64),-)" [linux-arm64]="$(or $(ARM64),-)")
	library[$$here]="$$out/libclusterkit.a"
	bindings/go/pack.py "$$out/proxy" linux-amd64="$${library[linux-amd64]}" linux-arm64="$${library[linux-arm64]}"
	bindings/go/try.sh "$$out/proxy"

.PHONY: wheel
wheel: tools ## Pack the Python package, a wheel and a source distribution, and try it in an empty environment
	@python3 bindings/python/pack.py "$(CARGO_TARGET_DIR)/wheels"
.PHONY: npm-pack
npm-pack: tools ## Pack the npm package and its native part, and install them in an empty project (NODE_PROFILE=dist GLIBC=2.17 ARM64=library.node)
	@tests/needs.sh node:nodejs npm:npm
	case "$$(uname -m)" in x86_64) here=linux-x64-gnu ;; aarch64) here=linux-arm64-gnu ;; *) echo 'there is no package for this platform' >&2; exit 1 ;; esac
	$(if $(GLIBC),cargo-zigbuild,cargo) $(if $(GLIBC),zigbuild,build) --profile $(NODE_PROFILE) --locked $(if $(GLIBC),--target $(ZIG_TARGET).$(GLIBC)) -p ck-node
	library="$(CARGO_TARGET_DIR)/$(if $(GLIBC),$(ZIG_TARGET)/)$(NODE_PROFILE:dev=debug)/libck_node.so"
	cd bindings/node
	cp "$$library" "clusterkit.$$here.node"
	strip --strip-unneeded "clusterkit.$$here.node"
	npm ci --ignore-scripts --no-audit --no-fund
	node scripts/build.mjs
	out="$(CARGO_TARGET_DIR)/npm"
	./pack.py "$$out" "$$here=clusterkit.$$here.node" $(if $(ARM64),linux-arm64-gnu=$(ARM64))
	./try.sh "$$out"

.PHONY: version
version: ## Print the version of the workspace
	@echo "$(VERSION)"

# What make install puts under PREFIX, besides the libraries.
HEADERS = $(notdir $(wildcard include/*.h include/*.hpp))

.PHONY: install
install: tools ## Install command, libraries, headers, pkg-config files and CMake package under PREFIX (/usr/local; DESTDIR for packages)
	@$(BUILD_DIST)
	root="$(DESTDIR)$(PREFIX)"
	so="$(DIST)/libck_ffi.so"
	install -d "$$root/bin" "$$root/lib/pkgconfig" "$$root/lib/cmake/clusterkit" "$$root/include"
	install -m 755 "$(DIST)/clusterkit" "$$root/bin/"
	packaging/static.sh "$(DIST)/libck_ffi.a" include/clusterkit.h "$$root/lib/libclusterkit.a"
	chmod 644 "$$root/lib/libclusterkit.a"
	install -m 755 "$$so" "$$root/lib/libclusterkit.so.$(VERSION)"
	strip --strip-unneeded "$$root/lib/libclusterkit.so.$(VERSION)"
	# The name that programs are linked to, from the library itself.
	soname="$$(LC_ALL=C readelf -d "$$so" | sed -n 's/.*(SONAME).*\[\(.*\)\].*/\1/p')"
	for link in $$soname libclusterkit.so; do
	  [ "$$link" = "libclusterkit.so.$(VERSION)" ] || ln -sf "libclusterkit.so.$(VERSION)" "$$root/lib/$$link"
	done
	for header in $(HEADERS); do install -m 644 "include/$$header" "$$root/include/"; done
	for file in packaging/*.pc.in packaging/cmake/*.in; do
	  case "$$file" in *.pc.in) to="$$root/lib/pkgconfig" ;; *) to="$$root/lib/cmake/clusterkit" ;; esac
	  to="$$to/$$(basename "$$file" .in)"
	  sed "s/@VERSION@/$(VERSION)/; s/@SONAME@/$$soname/" "$$file" > "$$to"
	  chmod 644 "$$to"
	done
	echo "installed under $$root"

.PHONY: uninstall
uninstall: ## Remove what make install has put under PREFIX, and nothing else
	@root="$(DESTDIR)$(PREFIX)"
	rm -f "$$root/bin/clusterkit" "$$root"/lib/libclusterkit.a "$$root"/lib/libclusterkit.so "$$root"/lib/libclusterkit.so.*
	rm -f "$$root/lib/pkgconfig/clusterkit.pc" "$$root/lib/pkgconfig/clusterkit-static.pc"
	for header in $(HEADERS); do rm -f "$$root/include/$$header"; done
	rm -rf "$$root/lib/cmake/clusterkit"
	echo "removed from $$root"

.PHONY: clean
clean: ## Remove everything that the other targets made
	@if command -v cargo > /dev/null; then cargo clean --quiet; fi
	rm -rf build .venv bindings/python/.venv bindings/node/node_modules
	rm -f bindings/python/python/clusterkit/_clusterkit*.so

# What the targets need. Silent where it is there.

.PHONY: tools tools-test tools-lint
tools:
	@command -v cargo > /dev/null || { echo 'Rust is missing: see https://rustup.rs' >&2; exit 1; }
	tests/needs.sh cc:build-essential

tools-test: tools
	@tests/needs.sh python3:python3
	tests/needs.sh --wanted valgrind:valgrind go:golang-go pkg-config:pkg-config node:nodejs npm:npm

tools-lint: tools
	@tests/needs.sh python3:python3
	for component in rustfmt clippy; do
	  cargo "$${component/rustfmt/fmt}" --version > /dev/null 2>&1 || rustup component add "$$component"
	done
