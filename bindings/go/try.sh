#!/usr/bin/env bash
# try.sh FOLDER: what somebody does who has nothing but Go and a C compiler, with modules that pack.py has packed in a folder: in an
# empty folder `go get`, `go build`, run; with vendored modules; and without cgo, which has to say what is missing.
set -euo pipefail

modules="$(cd "$1" && pwd)"
here="$(cd "$(dirname "$0")" && pwd)"
examples="$here/../../examples"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
module=github.com/clusterkit/clusterkit-go
version="$(cat "$modules/$module/@v/list")"

# Nothing of this repository, and nothing that was fetched before; the cache of what was compiled may stay.
unset LD_LIBRARY_PATH PKG_CONFIG_PATH
export GOPROXY="file://$modules" GONOSUMDB='*' GOFLAGS='-mod=mod -modcacherw -buildvcs=false' GOWORK=off GOTOOLCHAIN=local
export GOMODCACHE="$work/cache" CGO_ENABLED=1

mkdir "$work/tour"
cd "$work/tour"
cp "$examples/go/tour/main.go" .
go mod init example.com/tour 2> /dev/null
go get "$module@$version"
go vet .
go build -o tour .
# The library is in the program.
if readelf -d tour | grep -F libclusterkit; then
  echo "the program needs a shared library" >&2
  exit 1
fi
./tour | diff "$examples/tour.txt" -
# The tests of a program, too.
cat > tour_test.go << 'END'
package main

import (
	"testing"

	"github.com/clusterkit/clusterkit-go/clustertest"
)

func TestTour(t *testing.T) {
	cluster := clustertest.Start(t, clustertest.Options{Nodes: 1, PartitionCount: 4})
	if _, ok := cluster.PrimaryOf("user:123"); !ok {
		t.Error("nobody takes its writes")
	}
}
END
go test .
# Elsewhere, with go.mod and go.sum from here, only the library of this platform is fetched.
GOMODCACHE="$work/elsewhere" GOFLAGS='-modcacherw -buildvcs=false' go build -o elsewhere .
fetched="$(cd "$work/elsewhere/$module" && echo lib/*@"$version")"
[ "$fetched" = "lib/$(go env GOOS)-$(go env GOARCH)@$version" ] || { echo "fetched: $fetched" >&2; exit 1; }

go mod vendor
GOFLAGS='-mod=vendor -buildvcs=false' go build -o vendored .
GOFLAGS='-mod=vendor -buildvcs=false' go test .
./vendored | diff "$examples/tour.txt" -

# All in one file, for a container without anything.
go build -ldflags '-extldflags "-static"' -o static . 2> "$work/warnings" || { cat "$work/warnings" >&2; exit 1; }
if readelf -d static | grep -F NEEDED; then
  echo "the static program needs shared libraries" >&2
  exit 1
fi
./static | diff "$examples/tour.txt" -

if said="$(CGO_ENABLED=0 go build . 2>&1)"; then
  echo "it builds without cgo" >&2
  exit 1
fi
grep -qF 'ClusterKit needs CGO_ENABLED=1' <<< "$said" || { echo "$said" >&2; exit 1; }
echo "go get $module@$version: builds and runs, also vendored and static"
