#!/usr/bin/env bash
# deny.sh: licences, known vulnerabilities and sources of everything that is built, here and in fuzz/; deny.toml says what is
# allowed. cargo-deny is installed beside what is built where it is missing. What cannot be had, it or the database of
# vulnerabilities, is SKIPPED and said; where STRICT is set, that is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."

VERSION=0.20.2
build="${CARGO_TARGET_DIR:-$PWD/target}"
export PATH="$PATH:$build/tools/bin"

skipped() {
  echo "SKIPPED: $1"
  [ -z "${STRICT:-}" ]
}

if ! cargo deny --version > /dev/null 2>&1; then
  echo "installing cargo-deny $VERSION: minutes, once"
  # Its own profile optimises it across all crates, which takes longer than it ever runs.
  export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=1
  if ! cargo install --locked --quiet --root "$build/tools" --version "=$VERSION" cargo-deny; then
    skipped "licences, vulnerabilities and sources: cargo-deny cannot be installed here"
    exit
  fi
fi

checks=(licenses bans sources advisories)
# A check that cannot fetch fails as one that has found something does: so it is fetched first.
if ! fetched="$(timeout 120 cargo deny --locked fetch db 2>&1)"; then
  echo "$fetched" >&2
  skipped "known vulnerabilities: their database cannot be reached"
  unset 'checks[-1]'
fi
cargo deny --locked check --hide-inclusion-graph --allow license-exception-not-encountered "${checks[@]}"
# With few words: what is there twice was said above, and not every exception is for it.
cargo deny --locked --config deny.toml --manifest-path fuzz/Cargo.toml check --hide-inclusion-graph \
  --allow duplicate --allow license-exception-not-encountered --allow advisory-not-detected "${checks[@]}"
