//go:build cgo && linux && amd64 && !clusterkit_dynamic

package clusterkit

// The library itself, built in advance. A build fetches that of its own platform only.
import _ "github.com/clusterkit/clusterkit-go/lib/linux-amd64"
