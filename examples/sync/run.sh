#!/usr/bin/env bash
# Ten key-value servers in sync mode: a write is acknowledged when a majority of its copies has it.
# All of it is in ../kv. LANGUAGES=rust,go,python,node,cpp mixes them; STORE=sqlite keeps keys on disk.
set -euo pipefail
exec python3 "$(dirname "${BASH_SOURCE[0]}")/../kv/run.py" --mode sync "$@"
