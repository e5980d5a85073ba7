// Package bridge is what the packages of this module have of each other that programs have not: types of C's belong to one package
// each, and pass between them as addresses. Package clusterkit sets it when it is initialised.
package bridge

import "unsafe"

var (
	// TakeError reads a ck_error_t and frees it; nil for NULL.
	TakeError func(failed unsafe.Pointer) error
	// NewNode makes a *clusterkit.ClusterKit of a ck_cluster_t, whose share it owns from then on.
	NewNode func(cluster unsafe.Pointer) any
	// IsClosed says whether a *clusterkit.ClusterKit was closed, and so has let go of its share.
	IsClosed func(node any) bool
	// LendOptions makes a *clusterkit.OptionSet of a ck_options_t that stays its owner's. The function that comes with it ends the
	// loan: what is called with the set after that is refused.
	LendOptions func(options unsafe.Pointer) (set any, end func())
)
