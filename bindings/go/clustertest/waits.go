package clustertest

// #include "callbacks.h"
import "C"

import (
	"runtime"
	"runtime/cgo"
	"time"

	clusterkit "github.com/clusterkit/clusterkit-go"
)

// Advance moves the clock of all nodes on, and returns when everything is done that follows from it: leases have run out, timeouts
// have fired, and what they caused has happened, except what needs hooks that still run. A cluster that is well stays as it is.
//
// Errors: INVALID_ARGUMENT for what is no whole number of milliseconds; IN_HOOK; STOPPED.
func (c *Cluster) Advance(span time.Duration) error {
	defer runtime.KeepAlive(c)
	ms, err := exactly("the time", span)
	if err != nil {
		return err
	}
	return c.with(func(testing *C.ck_testing_t) *C.ck_error_t { return C.ck_testing_advance(testing, ms) })
}

// Now is the time that has passed on the clock of the nodes since the test cluster was made. 0 after Close.
func (c *Cluster) Now() (passed time.Duration) {
	defer runtime.KeepAlive(c)
	_ = c.with(func(testing *C.ck_testing_t) *C.ck_error_t {
		passed = time.Duration(C.ck_testing_now_ms(testing)) * time.Millisecond
		return nil
	})
	return passed
}

// WaitForLeader waits until a node leads, as [Cluster.Leader] has it. It moves the clock, by the timeout at most.
//
// Errors: TIMEOUT with what is missing; IN_HOOK; STOPPED.
func (c *Cluster) WaitForLeader(timeout time.Duration) (index int, err error) {
	defer runtime.KeepAlive(c)
	var leader C.size_t
	err = c.with(func(testing *C.ck_testing_t) *C.ck_error_t {
		return C.ck_testing_wait_for_leader(testing, atMost(timeout), &leader)
	})
	return int(leader), err
}

// WaitForPrimaries waits until every partition has a primary that says so itself, whatever else is missing: the end of a failover. It
// moves the clock, by the timeout at most.
//
// Errors: as [Cluster.WaitForLeader].
func (c *Cluster) WaitForPrimaries(timeout time.Duration) error {
	defer runtime.KeepAlive(c)
	return c.with(func(testing *C.ck_testing_t) *C.ck_error_t {
		return C.ck_testing_wait_for_primaries(testing, atMost(timeout))
	})
}

// WaitSettled waits until the cluster is at rest: every node that runs and is reached is a member that has applied everything, every
// other is known to be down, each partition has all its copies on nodes that are up, and a primary that says so itself, and nothing
// moves or is about to. It moves the clock, by the timeout at most.
//
// Errors: as [Cluster.WaitForLeader].
func (c *Cluster) WaitSettled(timeout time.Duration) error {
	defer runtime.KeepAlive(c)
	return c.with(func(testing *C.ck_testing_t) *C.ck_error_t {
		return C.ck_testing_wait_settled(testing, atMost(timeout))
	})
}

// WaitUntil waits until a condition holds, which is looked at after each timer of the nodes: so the clock moves by as little as is
// needed, and by the timeout at most. Where that has passed before ten seconds of real time have, the rest of these is waited for too:
// a program may need it. what names the condition in the error. The condition is called on the goroutine that waits, and its panic
// is that of WaitUntil.
//
// Errors: INVALID_ARGUMENT; as [Cluster.WaitForLeader].
func (c *Cluster) WaitUntil(what string, timeout time.Duration, holds func() bool) error {
	defer runtime.KeepAlive(c)
	if holds == nil {
		return &clusterkit.Error{Code: clusterkit.CodeInvalidArgument, Message: "the condition is nil"}
	}
	condition := &condition{holds: holds}
	user := cgo.NewHandle(condition)
	defer user.Delete()
	err := c.with(func(testing *C.ck_testing_t) *C.ck_error_t {
		text, length := textOf(what)
		return C.ckgo_testing_wait_until(testing, text, length, atMost(timeout), C.uintptr_t(user))
	})
	if condition.panicked != nil {
		panic(condition.panicked)
	}
	return err
}
