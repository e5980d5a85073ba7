#!/usr/bin/env bash
# needs.sh [--wanted] COMMAND:PACKAGE ...: sees to it that commands are there. What is missing is installed with
# apt-get where this is root on Debian; elsewhere, and where that fails, it is named, which is a failure unless it is only
# --wanted. Says nothing where nothing is missing.
set -euo pipefail

failure=1
if [ "${1:-}" = --wanted ]; then
  failure=0
  shift
fi

missing=()
for need in "$@"; do
  command -v "${need%%:*}" > /dev/null || missing+=("${need##*:}")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" -eq 0 ] && command -v apt-get > /dev/null; then
  export DEBIAN_FRONTEND=noninteractive
  if apt-get update -qq > /dev/null \
    && apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null < /dev/null; then
    echo "installed: ${missing[*]}"
    exit 0
  fi
fi
echo "missing: ${missing[*]}; with Debian: sudo apt-get install ${missing[*]}" >&2
exit "$failure"
