package clustertest

// #include "callbacks.h"
import "C"

import (
	"fmt"
	"runtime/cgo"
	"sync"
	"unsafe"

	clusterkit "github.com/clusterkit/clusterkit-go"
	"github.com/clusterkit/clusterkit-go/internal/bridge"
)

// callbacks are the test's own functions, and what they have refused.
type callbacks struct {
	configure func(index int, options *clusterkit.OptionSet) error
	prepare   func(index int, node *clusterkit.ClusterKit) error
	// prepared makes the handle of a process.
	prepared func(index int, cluster *C.ck_cluster_t) *clusterkit.ClusterKit

	mu      sync.Mutex
	refused error
}

// give hands the callbacks to C, which lets go of them by ckgoTestingEnd.
func (c *callbacks) give(set func(user C.uintptr_t) *C.ck_error_t) error {
	user := cgo.NewHandle(c)
	if err := take(set(C.uintptr_t(user))); err != nil {
		user.Delete()
		return err
	}
	return nil
}

// explain adds what a callback has said to the error of the call that it has refused.
func (c *callbacks) explain(err error) error {
	c.mu.Lock()
	refused := c.refused
	c.refused = nil
	c.mu.Unlock()
	if err == nil || refused == nil {
		return err
	}
	return fmt.Errorf("%w: %w", err, refused)
}

// ask calls one of the test's functions. A panic that got out would end the process.
func (c *callbacks) ask(what string, index C.size_t, function func() error) (answer C.int32_t) {
	refuse := func(err error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.refused = fmt.Errorf("%s of node %d: %w", what, uint64(index), err)
		answer = 1
	}
	defer func() {
		if panicked := recover(); panicked != nil {
			refuse(fmt.Errorf("panic: %v", panicked))
		}
	}()
	if err := function(); err != nil {
		refuse(err)
	}
	return answer
}

//export ckgoTestingConfigure
func ckgoTestingConfigure(index C.size_t, options *C.ck_options_t, user C.uintptr_t) C.int32_t {
	callbacks := cgo.Handle(user).Value().(*callbacks)
	return callbacks.ask("Configure", index, func() error {
		set, end := bridge.LendOptions(unsafe.Pointer(options))
		defer end()
		return callbacks.configure(int(index), set.(*clusterkit.OptionSet))
	})
}

//export ckgoTestingPrepare
func ckgoTestingPrepare(index C.size_t, cluster *C.ck_cluster_t, user C.uintptr_t) C.int32_t {
	callbacks := cgo.Handle(user).Value().(*callbacks)
	node := callbacks.prepared(int(index), C.ck_cluster_ref(cluster))
	if callbacks.prepare == nil {
		return 0
	}
	return callbacks.ask("Prepare", index, func() error { return callbacks.prepare(int(index), node) })
}

//export ckgoTestingEnd
func ckgoTestingEnd(user C.uintptr_t) { cgo.Handle(user).Delete() }

// condition is what WaitUntil waits for, and the panic that ended it.
type condition struct {
	holds    func() bool
	panicked any
}

//export ckgoTestingCondition
func ckgoTestingCondition(user C.uintptr_t) (holds C.bool) {
	condition := cgo.Handle(user).Value().(*condition)
	defer func() {
		if panicked := recover(); panicked != nil {
			// It goes on when the wait, which ends so, has returned.
			condition.panicked, holds = panicked, true
		}
	}()
	return C.bool(condition.holds())
}
