package clusterkit

// #include "glue.h"
import "C"

import (
	"context"
	"runtime"
)

// ClusterKit is a node of a cluster, embedded in this process. All of its methods may be called by any number of goroutines.
//
// A node that is not used any more is closed when the garbage collector finds it, unless hooks of it refer to it: call Stop or
// Close.
type ClusterKit struct {
	handle *handle
	id     string
}

// New makes a node with these options. It opens nothing before [ClusterKit.Start].
//
// Errors: INVALID_OPTION names the option; VERSION when the system's library does not suit this package; IO when the system
// has no more threads to give.
func New(options Options) (*ClusterKit, error) {
	set, err := options.OptionSet()
	if err != nil {
		return nil, err
	}
	ck, err := NewFromOptionSet(set)
	if err != nil {
		return nil, err
	}
	if options.Logger != nil {
		if err := ck.SetLogger(options.Logger); err != nil {
			ck.Close()
			return nil, err
		}
	}
	return ck, nil
}

// NewClusterKit is [New], by the name that programs for the Go ClusterKit know.
func NewClusterKit(options Options) (*ClusterKit, error) { return New(options) }

// NewFromOptionSet is [New] with options that were read from a file or the environment.
func NewFromOptionSet(options *OptionSet) (*ClusterKit, error) {
	if err := checkLibrary(); err != nil {
		return nil, err
	}
	if options == nil {
		return nil, invalidArgument("the options are nil")
	}
	C.ckgo_remember_signals()
	var cluster *C.ck_cluster_t
	failed := C.ck_cluster_new(options.c, &cluster)
	runtime.KeepAlive(options)
	if failed != nil {
		return nil, takeError(failed)
	}
	return newClusterKit(cluster), nil
}

// newClusterKit owns a share of a node.
func newClusterKit(cluster *C.ck_cluster_t) *ClusterKit {
	ck := &ClusterKit{handle: newHandle(cluster), id: C.GoString(C.ck_my_node_id(cluster))}
	// The net for a node that was dropped. Closing may wait, and all cleanups of a program share few goroutines.
	freeWith(ck, ck.handle, func(dropped *handle) { go dropped.close() })
	return ck
}

// Start starts the node: it founds a cluster, joins one, or comes back to its own, as its options and its data directory say.
// It returns when the node is a member, or after the option join_timeout; a node that was a member before then returns
// success and goes on trying ([ClusterKit.WaitingFor]). A node starts once; after a failure close it and make another.
//
// Errors: ALREADY_STARTED, STOPPED, JOIN_FAILED with what every address answered, JOIN_REFUSED, ADDRESS_IN_USE,
// DATA_DIR_IN_USE, WRONG_CLUSTER, CLUSTER_MISMATCH, DUPLICATE_NODE, REMOVED, CORRUPT, IO; IN_HOOK inside a hook of this node.
func (ck *ClusterKit) Start() error { return ck.StartContext(context.Background()) }

// StartContext is [ClusterKit.Start] until the context ends. Then the node goes on starting, until it is stopped or closed.
func (ck *ClusterKit) StartContext(ctx context.Context) error {
	if C.ckgo_in_hook() {
		// The library knows a hook by its thread, which is this one: the form that waits is refused here.
		return ck.handle.withShare(func(cluster *C.ck_cluster_t) error { return takeError(C.ck_cluster_start(cluster)) })
	}
	_, err := ck.handle.await(ctx, func(cluster *C.ck_cluster_t, user C.uintptr_t) *C.ck_error_t {
		return C.ckgo_start(cluster, user)
	})
	return err
}

// Stop stops the node in an orderly way: the other nodes take over what it has, then everything is closed, which takes a few
// seconds at most. After success no hook of this node runs or will. Stopping again is legal, and waits for the first.
//
// Inside a hook of this node it answers IN_HOOK. A goroutine that a hook waits for is not known to be inside it: there Stop waits
// for the hook, and the hook for Stop, until Stop gives up after 5 s.
//
// Errors: IN_HOOK; TIMEOUT when a hook has not returned after 5 s, everything else being closed; IO.
func (ck *ClusterKit) Stop() error { return ck.StopContext(context.Background()) }

// StopContext is [ClusterKit.Stop] until the context ends. Then the node goes on stopping.
func (ck *ClusterKit) StopContext(ctx context.Context) error {
	if C.ckgo_in_hook() {
		timeout := timeoutOf(ctx)
		return ck.handle.withShare(func(cluster *C.ck_cluster_t) error {
			return takeError(C.ck_cluster_stop(cluster, timeout))
		})
	}
	_, err := ck.handle.await(ctx, func(cluster *C.ck_cluster_t, user C.uintptr_t) *C.ck_error_t {
		return C.ckgo_stop(cluster, user)
	})
	return err
}

// Leave leaves the cluster for ever: leadership and all copies of this node move to other nodes, then it is removed and stops. It
// waits for as long as that takes.
//
// Errors: NOT_STARTED; IN_HOOK inside a hook of this node; REFUSED when no node could take over; STOPPED.
func (ck *ClusterKit) Leave() error { return ck.LeaveContext(context.Background()) }

// LeaveContext is [ClusterKit.Leave] until the context ends. Then the node goes on leaving, and the call may be made again.
// TIMEOUT says what is left to move.
func (ck *ClusterKit) LeaveContext(ctx context.Context) error {
	timeout := timeoutOf(ctx)
	if C.ckgo_in_hook() {
		return ck.handle.withShare(func(cluster *C.ck_cluster_t) error {
			return takeError(C.ck_cluster_leave(cluster, timeout))
		})
	}
	_, err := ck.handle.await(ctx, func(cluster *C.ck_cluster_t, user C.uintptr_t) *C.ck_error_t {
		return C.ckgo_leave(cluster, timeout, user)
	})
	return err
}

// Close ends the node and frees what it has: its files and sockets are closed, without telling the other nodes where Stop has
// not. When it returns, no hook and no call of the logger runs or will, but for a hook that does not return within 5 s.
// Inside a hook or a logger of this node it does not wait for that. Closing again does nothing.
//
// It always returns nil; it has a result so that a ClusterKit is an io.Closer.
func (ck *ClusterKit) Close() error {
	ck.handle.close()
	return nil
}

// HTTPAddr is the address at which others reach this node, "host:port": what another node is given as JoinAddr.
//
// Errors: NOT_STARTED; STOPPED after Close.
func (ck *ClusterKit) HTTPAddr() (string, error) {
	var address [C.CK_ADDRESS_SIZE]C.char
	err := ck.handle.with(func(cluster *C.ck_cluster_t) error {
		return takeError(C.ck_cluster_http_addr(cluster, &address[0], C.CK_ADDRESS_SIZE))
	})
	return C.GoString(&address[0]), err
}

// GetMyNodeID is this node's id.
func (ck *ClusterKit) GetMyNodeID() string { return ck.id }

// WaitingFor says what this node waits for before it is ready, in words for people: empty when it is ready, a member that knows
// a leader and holds a lease.
//
// Errors: why it will never be ready and has to be made anew or given up: REMOVED, DUPLICATE_NODE and the like, IO, STOPPED.
func (ck *ClusterKit) WaitingFor() (string, error) {
	var text *C.ck_text_t
	err := ck.handle.with(func(cluster *C.ck_cluster_t) error {
		return takeError(C.ck_waiting_for(cluster, &text))
	})
	if err != nil {
		return "", err
	}
	return takeText(text), nil
}

// View is the cluster at this moment, as this node has applied it.
func (ck *ClusterKit) View() (*View, error) { return ck.handle.view() }
