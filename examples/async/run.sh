#!/usr/bin/env bash
# Ten key-value servers in async mode: a write is acknowledged by the primary, and replicated behind.
# All of it is in ../kv. LANGUAGES=rust,go,python,node,cpp mixes them; STORE=sqlite keeps keys on disk.
set -euo pipefail
exec python3 "$(dirname "${BASH_SOURCE[0]}")/../kv/run.py" --mode async "$@"
