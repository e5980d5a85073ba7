package clustertest

// #include "callbacks.h"
import "C"

import (
	"fmt"
	"runtime"
	"unsafe"

	clusterkit "github.com/clusterkit/clusterkit-go"
	"github.com/clusterkit/clusterkit-go/internal/bridge"
)

// NodeCount is the number of nodes, those included that do not run. 0 after Close.
func (c *Cluster) NodeCount() int {
	defer runtime.KeepAlive(c)
	count := 0
	_ = c.with(func(testing *C.ck_testing_t) *C.ck_error_t {
		count = int(C.ck_testing_node_count(testing))
		return nil
	})
	return count
}

// Node is the present process of a node, or its last: the same pointer for as long as there is no other. Its Close lets go of the
// handle, and does not end the node, which is the test cluster's: use [Cluster.Stop] or [Cluster.Kill].
//
// It panics where there is no node with this index, as an index of a slice does, and after Close.
func (c *Cluster) Node(index int) *clusterkit.ClusterKit {
	defer runtime.KeepAlive(c)
	var share *C.ck_cluster_t
	err := c.with(func(testing *C.ck_testing_t) *C.ck_error_t {
		return C.ck_testing_node(testing, C.size_t(index), &share)
	})
	if err != nil {
		panic(fmt.Sprintf("clustertest: there is no node %d: %v", index, err))
	}
	return c.hold(index, share)
}

// hold is the handle of a process, whose share it takes: the one that there is, or a new one.
func (s *state) hold(index int, share *C.ck_cluster_t) *clusterkit.ClusterKit {
	s.mu.Lock()
	defer s.mu.Unlock()
	// Both are alive, so two that lie at one address are one; but for one that the test has closed.
	if present, ok := s.nodes[index]; ok && present.c == unsafe.Pointer(share) && !bridge.IsClosed(present.node) {
		// It does not end the node, and so does not wait.
		C.ck_cluster_free(share)
		return present.node
	}
	node := bridge.NewNode(unsafe.Pointer(share)).(*clusterkit.ClusterKit)
	s.nodes[index] = held{unsafe.Pointer(share), node}
	return node
}

// Nodes are all nodes, as [Cluster.Node] has them.
func (c *Cluster) Nodes() []*clusterkit.ClusterKit {
	nodes := make([]*clusterkit.ClusterKit, c.NodeCount())
	for index := range nodes {
		nodes[index] = c.Node(index)
	}
	return nodes
}

// IndexOf is the index of the node with an id, where there is one.
func (c *Cluster) IndexOf(id string) (index int, ok bool) {
	return c.find(func(testing *C.ck_testing_t, index *C.size_t) C.bool {
		text, length := textOf(id)
		return C.ck_testing_index_of(testing, text, length, index)
	})
}

// Leader is the node that leads, by its own word, and that a majority of the voters can go on following: it is neither paused nor cut
// off from them.
func (c *Cluster) Leader() (index int, ok bool) {
	return c.find(func(testing *C.ck_testing_t, index *C.size_t) C.bool { return C.ck_testing_leader(testing, index) })
}

// PrimaryOf is the node that takes the writes of a key at this moment, by its own word.
func (c *Cluster) PrimaryOf(key string) (index int, ok bool) {
	return c.find(func(testing *C.ck_testing_t, index *C.size_t) C.bool {
		text, length := textOf(key)
		return C.ck_testing_primary_of(testing, unsafe.Pointer(text), length, index)
	})
}

func (c *Cluster) find(look func(testing *C.ck_testing_t, index *C.size_t) C.bool) (index int, ok bool) {
	defer runtime.KeepAlive(c)
	var found C.size_t
	_ = c.with(func(testing *C.ck_testing_t) *C.ck_error_t {
		ok = bool(look(testing, &found))
		return nil
	})
	return int(found), ok
}

// IsRunning is true while a node runs: it was started, and neither stopped nor killed. A paused one runs.
func (c *Cluster) IsRunning(index int) bool {
	_, is := c.find(func(testing *C.ck_testing_t, _ *C.size_t) C.bool {
		return C.ck_testing_is_running(testing, C.size_t(index))
	})
	return is
}

// IsPaused is true while a node is paused.
func (c *Cluster) IsPaused(index int) bool {
	_, is := c.find(func(testing *C.ck_testing_t, _ *C.size_t) C.bool {
		return C.ck_testing_is_paused(testing, C.size_t(index))
	})
	return is
}

// AddNode adds a node and starts it. [Cluster.WaitSettled] waits until it has its partitions.
//
// Errors: those of [clusterkit.ClusterKit.Start], and then the node is there and does not run; REFUSED when there are 1000 nodes, or a
// callback refused; IN_HOOK.
func (c *Cluster) AddNode() (index int, err error) {
	return c.add(func(testing *C.ck_testing_t, index *C.size_t) *C.ck_error_t {
		return C.ck_testing_add_node(testing, index)
	})
}

// CreateNode adds a node and does not start it: the program does, with [clusterkit.ClusterKit.Start] of [Cluster.Node].
//
// Errors: REFUSED when there are 1000 nodes, or a callback refused; INVALID_OPTION.
func (c *Cluster) CreateNode() (index int, err error) {
	return c.add(func(testing *C.ck_testing_t, index *C.size_t) *C.ck_error_t {
		return C.ck_testing_create_node(testing, index)
	})
}

func (c *Cluster) add(call func(testing *C.ck_testing_t, index *C.size_t) *C.ck_error_t) (int, error) {
	defer runtime.KeepAlive(c)
	var index C.size_t
	err := c.with(func(testing *C.ck_testing_t) *C.ck_error_t { return call(testing, &index) })
	return int(index), c.callbacks.explain(err)
}

// Restart starts a new process of a node that was killed or stopped, on its disk: [Cluster.Node] has it from then on. Handles of the
// process before stay as they are, stopped.
//
// Errors: NOT_FOUND; REFUSED for a node that runs, or when a callback refused; those of [clusterkit.ClusterKit.Start]; IN_HOOK.
func (c *Cluster) Restart(index int) error {
	return c.callbacks.explain(c.at(index, func(testing *C.ck_testing_t, index C.size_t) *C.ck_error_t {
		return C.ck_testing_restart(testing, index)
	}))
}

// Recreate makes a new process of a node that was killed or stopped, on its disk, and does not start it: the program does, with
// [clusterkit.ClusterKit.Start] of [Cluster.Node].
//
// Errors: as [Cluster.Restart], without those of a start.
func (c *Cluster) Recreate(index int) error {
	return c.callbacks.explain(c.at(index, func(testing *C.ck_testing_t, index C.size_t) *C.ck_error_t {
		return C.ck_testing_recreate(testing, index)
	}))
}

// Stop stops a node in an orderly way: the others take over its roles at once. It keeps its disk.
//
// Errors: NOT_FOUND; REFUSED for a node that is paused, or does not run; those of [clusterkit.ClusterKit.Stop].
func (c *Cluster) Stop(index int) error {
	return c.at(index, func(testing *C.ck_testing_t, index C.size_t) *C.ck_error_t { return C.ck_testing_stop(testing, index) })
}

// Kill ends a node's process without a word, as SIGKILL and a loss of power do: the others find out by its silence. Its disk keeps what
// was durable, and parts of what was not; its hooks are not called any more, and one that runs goes on to its end. Calls with it
// answer STOPPED. A paused node can be killed.
//
// Errors: NOT_FOUND; REFUSED for a node that does not run; IN_HOOK.
func (c *Cluster) Kill(index int) error {
	return c.at(index, func(testing *C.ck_testing_t, index C.size_t) *C.ck_error_t { return C.ck_testing_kill(testing, index) })
}

// Wipe gives a node an empty disk. A node that runs is killed first. [Cluster.Restart] then starts it as a process that has lost its
// data directory: under its old id it is a member again once the others have found its process before dead, and copies its partitions
// anew.
//
// Errors: NOT_FOUND; IN_HOOK.
func (c *Cluster) Wipe(index int) error {
	return c.at(index, func(testing *C.ck_testing_t, index C.size_t) *C.ck_error_t { return C.ck_testing_wipe(testing, index) })
}

// Pause pauses a node, as SIGSTOP does: it answers nobody, and no hook of it is called, but for one that was called already and goes
// on to its end. The handle still answers what needs no other node; calls that do wait until it is resumed, or for their timeout.
//
// Errors: NOT_FOUND; REFUSED for a node that does not run.
func (c *Cluster) Pause(index int) error {
	return c.at(index, func(testing *C.ck_testing_t, index C.size_t) *C.ck_error_t { return C.ck_testing_pause(testing, index) })
}

// Resume resumes a paused node: it goes on where it stood, with what it was sent meanwhile. Without effect on another.
//
// Errors: NOT_FOUND.
func (c *Cluster) Resume(index int) error {
	return c.at(index, func(testing *C.ck_testing_t, index C.size_t) *C.ck_error_t {
		return C.ck_testing_resume(testing, index)
	})
}

// at calls what is done to one node.
func (c *Cluster) at(index int, call func(testing *C.ck_testing_t, index C.size_t) *C.ck_error_t) error {
	defer runtime.KeepAlive(c)
	return c.with(func(testing *C.ck_testing_t) *C.ck_error_t { return call(testing, C.size_t(index)) })
}
