#!/usr/bin/env bash
# run.sh SECONDS [TARGET...]: runs fuzz targets, all of them where none is named, each for so long. cargo-fuzz is installed
# beside what is built where it is missing; where that cannot be done, it says so and exits with 3. Stable Rust is enough:
# there is no sanitizer, because there is no unsafe code in what is tried.
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
  mapfile -t targets < <(cargo fuzz list --fuzz-dir .)
  set -- "${targets[@]}"
  cargo fuzz build "${options[@]}"
fi
failed=()
for target in "$@"; do
  # What it learns is kept from run to run, and is not part of the project.
  learned="$build/fuzz/corpus/$target"
  mkdir -p "$learned"
  echo "== fuzz $target: $seconds s"
  cargo fuzz run "${options[@]}" "$target" "$learned" "corpus/$target" -- \
    -max_total_time="$seconds" -max_len="$LONGEST" -timeout=20 -rss_limit_mb=1024 -print_final_stats=1 -verbosity=0 \
    || failed+=("$target")
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "FAILED: ${failed[*]}; the inputs are in fuzz/artifacts, and fuzz/README.md says what to do with them" >&2
  exit 1
fi
