#!/usr/bin/env bash
# run.sh SECONDS [TARGET...]: runs fuzz targets, all of them where none is named, each for so long. cargo-fuzz is installed
# beside what is built where it is missing; where that cannot be done, it says so and exits with 3. Stable Rust is enough: there
# is no unsafe code in what is tried. The C ABI is another matter: its targets (abi-*, in abi/) are built with AddressSanitizer
# where there is a nightly Rust, and without where there is none.
set -euo pipefail
cd "$(dirname "$0")"

VERSION=0.13.2
# A longer input says nothing that a short one does not.
LONGEST=16384
seconds="$1"
shift

build="${CARGO_TARGET_DIR:-$PWD/../target}"
export PATH="$PATH:$build/tools/bin"
if ! cargo fuzz --version > /dev/null 2>&1; then
  echo "installing cargo-fuzz $VERSION" >&2
  if ! cargo install --locked --quiet --root "$build/tools" --version "=$VERSION" cargo-fuzz; then
    echo "cargo-fuzz cannot be installed here: cargo install --locked cargo-fuzz says why" >&2
    exit 3
  fi
fi
command -v c++ > /dev/null || { echo "a C++ compiler is missing: libFuzzer is C++" >&2; exit 3; }

options=(--sanitizer none -O --fuzz-dir . --target-dir "$build/fuzz")
if [ $# -eq 0 ]; then
  mapfile -t targets < <(cargo fuzz list --fuzz-dir . && cargo fuzz list --fuzz-dir abi)
  set -- "${targets[@]}"
  cargo fuzz build "${options[@]}"
fi
nightly=()
sanitizer=none
if cargo +nightly --version > /dev/null 2>&1; then
  nightly=(+nightly)
  sanitizer=address
fi
abi_options=(--sanitizer "$sanitizer" -O --fuzz-dir abi --target-dir "$build/fuzz-abi")
failed=()
for target in "$@"; do
  # What it learns is kept from run to run, and is not part of the project.
  learned="$build/fuzz/corpus/$target"
  mkdir -p "$learned"
  limits=(-max_total_time="$seconds" -max_len="$LONGEST" -timeout=20 -rss_limit_mb=1024 -print_final_stats=1 -verbosity=0)
  case "$target" in
    abi-*)
      echo "== fuzz $target, sanitizer $sanitizer: $seconds s"
      # AddressSanitizer keeps what was freed; runs of two nodes leave threads behind that end a little later.
      cargo "${nightly[@]}" fuzz run "${abi_options[@]}" "$target" "$learned" -- "${limits[@]}" -rss_limit_mb=3072 \
        || failed+=("$target")
      ;;
    *)
      echo "== fuzz $target: $seconds s"
      cargo fuzz run "${options[@]}" "$target" "$learned" "corpus/$target" -- "${limits[@]}" || failed+=("$target")
      ;;
  esac
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "FAILED: ${failed[*]}; the inputs are in fuzz/artifacts or fuzz/abi/artifacts, and fuzz/README.md says what to do with them" >&2
  exit 1
fi
