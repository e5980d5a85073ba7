#!/bin/sh
# Makes the static library that is installed of the one that cargo builds: one object, without what no call of the header
# reaches, and with no name visible but those of the header. So a program may link it beside another library in Rust, and a
# plugin that is linked with it exports nothing of it.
#
#   static.sh IN.a HEADER OUT.a
set -eu
in="$1" header="$2" out="$3"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

# What the header declares.
grep -o '\bck_[a-z0-9_]*(' "$header" | tr -d '(' | sort -u > "$work/names"
# Types of callbacks look the same, and are none.
# No plugin, here and below: that of an LLVM older than Rust's cannot read what Rust's writes.
nm --plugin=/dev/null --defined-only --extern-only --format=posix "$in" 2> /dev/null | awk '$1 ~ /^ck_/ { print $1 }' | sort -u > "$work/defined"
comm -12 "$work/names" "$work/defined" > "$work/kept"
[ -s "$work/kept" ] || { echo "$in defines nothing of $header" >&2; exit 1; }

undefined="$(sed 's/^/-u /' "$work/kept" | tr '\n' ' ')"
# Without groups: the linker keeps one group of a name, and another library in Rust would find its own gone and ours local.
# shellcheck disable=SC2086
ld -r --force-group-allocation --gc-sections $undefined -o "$work/clusterkit.o" "$in"
objcopy --keep-global-symbols="$work/kept" "$work/clusterkit.o"
strip --strip-unneeded "$work/clusterkit.o"
rm -f "$out"
ar --plugin=/dev/null rcsD "$out" "$work/clusterkit.o"
