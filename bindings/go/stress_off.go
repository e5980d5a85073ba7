//go:build cgo && !debug

package clusterkit

// stress does nothing: see stress_on.go.
func stress() {}
