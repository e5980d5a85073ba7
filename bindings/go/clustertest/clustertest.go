// Package clustertest is clusters of real nodes inside a test: no sockets, no files, no ports, no processes. The test kills nodes,
// pauses them, cuts them off, breaks their disks and moves their clock, so that nothing is waited for: what takes minutes elsewhere
// takes milliseconds here. Every node is an ordinary [clusterkit.ClusterKit], so the program's own code runs on it unchanged.
//
// Nodes are named by their index, from 0; node 0 has the id "node-0". They have one clock, by which all times here are: it passes
// with real time, or faster where a call moves it. They listen on no socket, and serve no HTTP. docs/testing.md tells the rest.
//
// Errors are [clusterkit.Error]; those of an application's callback are wrapped besides. Calls that wait are refused inside a hook
// with IN_HOOK. Functions that are called from here (hooks, callbacks, conditions) must not end their goroutine: no t.Fatal in them.
package clustertest

// #cgo CFLAGS: -std=gnu11 -I${SRCDIR}/../../../include
// #include "callbacks.h"
import "C"

import (
	"errors"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"
	"unsafe"

	clusterkit "github.com/clusterkit/clusterkit-go"
	"github.com/clusterkit/clusterkit-go/internal/bridge"
)

// Options are what a test cluster is made with. The zero value is three nodes with the default options and the timing of wide
// networks, whose long timeouts nobody waits for.
type Options struct {
	// Nodes is how many there are at first: 1 to 1000, 3 where it is 0.
	Nodes int
	// PartitionCount and ReplicationFactor are those of the cluster. Few partitions make quick tests.
	PartitionCount, ReplicationFactor int
	// Seed decides what slow links lose, and what the disk of a node that was killed keeps.
	Seed uint64
	// ManualClock is that no time passes but by [Cluster.Advance] and the calls that wait.
	ManualClock bool
	// Extra sets options of each node by their names: "lease_ttl": "3s".
	Extra map[string]string
	// Configure is called with the options of each node before the node is made, so that they can differ. Addresses, data_dir and how
	// it joins are the test cluster's: what is set there is replaced. The options must not be used after it has returned. An error or a
	// panic refuses the node: the call that makes it fails with REFUSED, and wraps the error.
	Configure func(index int, options *clusterkit.OptionSet) error
	// Prepare is called with every process of a node before it is started, also by [Cluster.Restart]: the place for hooks, queues and
	// loggers. An error or a panic refuses it.
	Prepare func(index int, node *clusterkit.ClusterKit) error
}

// Cluster is a cluster of nodes in this process. Any number of goroutines may use it.
type Cluster struct{ *state }

// state is what a cluster has, without what the test holds.
type state struct {
	mu sync.Mutex
	// nil once it was freed, which whoever makes the last call does after a close.
	c      *C.ck_testing_t
	calls  int
	closed bool
	// nodes are the handles of the nodes' present processes, by their index.
	nodes     map[int]held
	callbacks *callbacks
}

type held struct {
	c    unsafe.Pointer
	node *clusterkit.ClusterKit
}

// Start starts a test cluster that is closed at the end of the test. The test fails at once where it does not start, and at its
// end where a hook does not return.
func Start(t testing.TB, options Options) *Cluster {
	t.Helper()
	cluster, err := New(options)
	if err != nil {
		t.Fatalf("clustertest: the cluster does not start: %v", err)
	}
	t.Cleanup(func() {
		if err := cluster.Close(); err != nil {
			t.Errorf("clustertest: the cluster does not end: %v", err)
		}
	})
	return cluster
}

// New starts a test cluster: it returns when all nodes are members, every partition has its copies and a primary, and nothing moves.
// One that is not used any more is closed when the garbage collector finds it: call Close.
//
// Errors: INVALID_OPTION; REFUSED when a callback did; those of [clusterkit.ClusterKit.Start]; TIMEOUT with what is missing; IO when
// the system has no more threads to give; IN_HOOK.
func New(options Options) (*Cluster, error) {
	callbacks := &callbacks{configure: options.Configure, prepare: options.Prepare}
	s := &state{nodes: map[int]held{}, callbacks: callbacks}
	callbacks.prepared = s.hold
	made, err := options.read(callbacks)
	if err != nil {
		return nil, err
	}
	defer C.ck_testing_options_free(made)
	if err := callbacks.explain(take(C.ck_testing_start(made, &s.c))); err != nil {
		return nil, err
	}
	cluster := &Cluster{s}
	// The end may wait, and all cleanups of a program share few goroutines.
	runtime.AddCleanup(cluster, func(s *state) { go s.end() }, s)
	return cluster, nil
}

// read makes options of C's, which the caller frees.
func (o Options) read(callbacks *callbacks) (*C.ck_testing_options_t, error) {
	var made *C.ck_testing_options_t
	if err := take(C.ck_testing_options_new(&made)); err != nil {
		return nil, err
	}
	if err := o.write(made, callbacks); err != nil {
		C.ck_testing_options_free(made)
		return nil, err
	}
	return made, nil
}

func (o Options) write(made *C.ck_testing_options_t, callbacks *callbacks) error {
	values := map[string]string{}
	number := func(name string, value int) {
		if value != 0 {
			values[name] = strconv.Itoa(value)
		}
	}
	number("nodes", o.Nodes)
	number("partition_count", o.PartitionCount)
	number("replication_factor", o.ReplicationFactor)
	values["seed"] = strconv.FormatUint(o.Seed, 10)
	values["manual_clock"] = strconv.FormatBool(o.ManualClock)
	for name, value := range o.Extra {
		if _, ok := values[name]; ok {
			return &clusterkit.Error{Code: clusterkit.CodeInvalidOption, Message: "option " + name + ": it has a field, and is in Extra"}
		}
		values[name] = value
	}
	for name, value := range values {
		first, firstLen := textOf(name)
		second, secondLen := textOf(value)
		if err := take(C.ck_testing_options_set(made, first, firstLen, second, secondLen)); err != nil {
			return err
		}
	}
	if callbacks.configure != nil {
		if err := callbacks.give(func(user C.uintptr_t) *C.ck_error_t { return C.ckgo_testing_set_configure(made, user) }); err != nil {
			return err
		}
	}
	// Also where the test has none: it tells which handle is whose.
	return callbacks.give(func(user C.uintptr_t) *C.ck_error_t { return C.ckgo_testing_set_prepare(made, user) })
}

// with calls f with the cluster, which is not freed meanwhile. f may wait.
func (s *state) with(f func(c *C.ck_testing_t) *C.ck_error_t) error {
	s.mu.Lock()
	if s.c == nil || s.closed {
		s.mu.Unlock()
		return errClosed()
	}
	s.calls++
	c := s.c
	s.mu.Unlock()
	defer s.ended()
	return take(f(c))
}

// ended is the end of a call. The last one frees what was closed meanwhile.
func (s *state) ended() {
	s.mu.Lock()
	s.calls--
	var freed *C.ck_testing_t
	if s.closed && s.calls == 0 {
		freed, s.c = s.c, nil
	}
	s.mu.Unlock()
	C.ck_testing_free(freed)
}

// Close ends everything: no hook and no thread is left, and nodes that the test still has answer STOPPED. Closing again does nothing.
//
// Errors: IN_HOOK inside a hook of one of its nodes; TIMEOUT when a hook does not return, while everything else has ended.
func (c *Cluster) Close() error {
	defer runtime.KeepAlive(c)
	return c.close()
}

func (s *state) close() error {
	var failed error
	err := s.with(func(c *C.ck_testing_t) *C.ck_error_t {
		failed = take(C.ck_testing_close(c))
		if !errors.Is(failed, clusterkit.ErrInHook) {
			s.mu.Lock()
			s.closed = true
			s.mu.Unlock()
		}
		return nil
	})
	if err != nil {
		// It was closed before.
		return nil
	}
	return failed
}

// end is the end of a cluster that nobody refers to any more.
func (s *state) end() {
	// There is nobody to tell.
	_ = s.close()
}

func errClosed() error {
	return &clusterkit.Error{Code: clusterkit.CodeStopped, Message: "the test cluster was closed"}
}

// take reads an error of C's and frees it; nil for NULL.
func take(failed *C.ck_error_t) error { return bridge.TakeError(unsafe.Pointer(failed)) }

// textOf hands a text to C for one call.
func textOf(text string) (*C.char, C.size_t) {
	return (*C.char)(unsafe.Pointer(unsafe.StringData(text))), C.size_t(len(text))
}

// exactly is a time of the clock in C's form.
func exactly(what string, span time.Duration) (C.uint32_t, error) {
	if span < 0 || span%time.Millisecond != 0 || span.Milliseconds() > 1<<32-1 {
		message := what + " is " + span.String() + ": it is a whole number of milliseconds, up to 49 days"
		return 0, &clusterkit.Error{Code: clusterkit.CodeInvalidArgument, Message: message}
	}
	return C.uint32_t(span.Milliseconds()), nil
}

// atMost is a timeout in C's form.
func atMost(timeout time.Duration) C.uint32_t {
	return C.uint32_t(min(max(timeout.Milliseconds(), 0), 1<<32-1))
}
