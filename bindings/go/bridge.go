package clusterkit

// #include "glue.h"
import "C"

import (
	"unsafe"

	"github.com/clusterkit/clusterkit-go/internal/bridge"
)

// What other packages of this module cannot make themselves.
func init() {
	bridge.TakeError = func(failed unsafe.Pointer) error { return takeError((*C.ck_error_t)(failed)) }
	bridge.NewNode = func(cluster unsafe.Pointer) any {
		C.ckgo_remember_signals()
		return newClusterKit((*C.ck_cluster_t)(cluster))
	}
	bridge.IsClosed = func(node any) bool {
		return node.(*ClusterKit).handle.with(func(*C.ck_cluster_t) error { return nil }) != nil
	}
	bridge.LendOptions = func(options unsafe.Pointer) (any, func()) {
		set := &OptionSet{(*C.ck_options_t)(options)}
		return set, func() { set.c = nil }
	}
}
