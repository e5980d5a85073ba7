//go:build cgo && clusterkit_dynamic

package clusterkit

// The library of the system, as `make install` puts it there.

// #cgo pkg-config: clusterkit
import "C"
