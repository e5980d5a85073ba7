//go:build cgo && debug

package clusterkit

import "runtime"

// stress collects garbage between reading a pointer of C's and the call that it is for, where a handle that nobody keeps
// alive would be freed under the call. Built with -tags debug only: it makes every call slow.
func stress() { runtime.GC() }
