#!/usr/bin/env bash
# Ten key-value servers in server-side mode: clients are plain HTTP, and any server takes any call.
# All of it is in ../kv. LANGUAGES=rust,go,python,node,cpp mixes them; STORE=sqlite keeps keys on disk.
set -euo pipefail
exec python3 "$(dirname "${BASH_SOURCE[0]}")/../kv/run.py" --mode server-side "$@"
