//go:build !cgo || (!clusterkit_dynamic && !(linux && (amd64 || arm64)))

package clusterkit

// ClusterKit needs cgo, and a library for the platform: this says so where the compiler says what is wrong. Set
// CGO_ENABLED=1 and install a C compiler; where there is no library for the platform, install one and build with
// -tags clusterkit_dynamic.
var _ int = "ClusterKit needs CGO_ENABLED=1, and on this platform -tags clusterkit_dynamic: see the README"
