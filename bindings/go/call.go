package clusterkit

// #include "glue.h"
import "C"

import (
	"context"
	"math"
	"runtime/cgo"
	"time"
)

// DefaultTimeout is how long a call without a context and without a timeout of its own may take.
const DefaultTimeout = 30 * time.Second

// outcome is what a call that waits has to tell.
type outcome struct {
	err      error
	revision uint64
	count    int
	existed  bool
	nodeID   string
	leader   *LeaderInfo
	status   *RebalanceStatus
}

// pendingCall hears of the outcome of one call. The channel has room for it: whoever tells it never waits, also when nobody
// listens any more.
type pendingCall chan outcome

// await begins a call of C's that does not wait, and waits for its outcome or the end of the context. After that nobody
// listens: the call goes on, and its outcome is dropped when it comes.
func (h *shared[T]) await(ctx context.Context, begin func(c T, user C.uintptr_t) *C.ck_error_t) (outcome, error) {
	if err := ctx.Err(); err != nil {
		return outcome{}, err
	}
	pending := make(pendingCall, 1)
	err := h.with(func(c T) error {
		user := keep(pending)
		if failed := begin(c, C.uintptr_t(user)); failed != nil {
			// It has not begun, so nothing will be told.
			release(user)
			return takeError(failed)
		}
		return nil
	})
	if err != nil {
		return outcome{}, err
	}
	select {
	case told := <-pending:
		return told, told.err
	case <-ctx.Done():
		return outcome{}, ctx.Err()
	}
}

// ckgoDone is told an outcome, once, on a thread of the library that tells one after the other.
//
//export ckgoDone
func ckgoDone(result *C.ck_result_t, user C.uintptr_t) {
	handle := cgo.Handle(user)
	pending := handle.Value().(pendingCall)
	release(handle)
	pending <- readOutcome(result)
}

func readOutcome(result *C.ck_result_t) outcome {
	if result.error != nil {
		return outcome{err: readError(result.error)}
	}
	read := outcome{
		revision: uint64(result.revision),
		count:    int(result.count),
		existed:  bool(result.existed),
		leader:   readLeader(result.leader),
		status:   readRebalanceStatus(result.rebalance_status),
	}
	if result.node_id != nil {
		read.nodeID = C.GoString(result.node_id)
	}
	return read
}

// timeoutOf is what is left until the context's deadline, for C, but for a moment: the library's answer, which says more than a
// context does, has to come first. A context without a deadline waits for as long as it takes.
func timeoutOf(ctx context.Context) C.uint32_t {
	deadline, ok := ctx.Deadline()
	if !ok {
		return math.MaxUint32
	}
	left := time.Until(deadline)
	return millisOf(left - min(left/10, 20*time.Millisecond))
}

// millisOf is a timeout in C's form. Never 0, which would not even try.
func millisOf(timeout time.Duration) C.uint32_t {
	return C.uint32_t(min(max(timeout.Milliseconds(), 1), math.MaxUint32))
}

// withDefaultTimeout is the context of a call without one.
func withDefaultTimeout() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), DefaultTimeout)
}
