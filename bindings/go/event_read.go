package clusterkit

// #include "glue.h"
import "C"

import (
	"runtime"
	"sync"
	"time"
	"unsafe"
)

// Event is one event, for hooks and queues that take several kinds. One of the pointers is set, by its kind; none of a kind that
// this package does not know.
type Event struct {
	Kind EventKind
	// Revision is that which brought it about.
	Revision uint64
	// Timestamp is when, by the wall clock of the node that proposed it.
	Timestamp time.Time
	// Attempt is the number of the call for this event, from 1: a failed copy is tried again.
	Attempt int

	PartitionChange *PartitionChangeEvent
	NodeJoin        *NodeJoinEvent
	NodeRejoin      *NodeRejoinEvent
	NodeLeave       *NodeLeaveEvent
	// Rebalance is of a start and of a completion.
	Rebalance     *RebalanceEvent
	ClusterHealth *ClusterHealthEvent
	// Leadership is of leadership that begins, ends, or moves.
	Leadership *LeadershipEvent

	// What of the event is C's, for as long as it is there.
	mu    sync.Mutex
	c     *C.ck_event_t
	queue *EventQueue
}

// readEvent copies an event of C's. Until endOf is called it refers to C's, too.
func readEvent(c *C.ck_event_t, self string) *Event {
	event := &Event{
		Kind:      EventKind(c.kind),
		Revision:  uint64(c.revision),
		Timestamp: timeOf(c.timestamp_ms),
		Attempt:   int(c.attempt),
		c:         c,
	}
	switch event.Kind {
	case EventPartitionChange:
		event.PartitionChange = readPartitionChange(event, C.ck_event_partition_change(c))
	case EventNodeJoin:
		told := C.ck_event_node_join(c)
		event.NodeJoin = &NodeJoinEvent{
			Node:        readNode(told.node),
			ClusterSize: int(told.cluster_size),
			IsBootstrap: bool(told.is_bootstrap),
			Timestamp:   event.Timestamp,
			Revision:    event.Revision,
		}
	case EventNodeRejoin:
		told := C.ck_event_node_rejoin(c)
		event.NodeRejoin = &NodeRejoinEvent{
			Node:                  readNode(told.node),
			OfflineDuration:       durationOf(told.offline_ms),
			LastSeenAt:            timeOf(told.last_seen_at_ms),
			PartitionsBeforeLeave: partitionIDs(told.partitions, told.partition_count),
			Timestamp:             event.Timestamp,
			Revision:              event.Revision,
		}
	case EventNodeLeave:
		told := C.ck_event_node_leave(c)
		event.NodeLeave = &NodeLeaveEvent{
			Node:              readNode(told.node),
			Reason:            nameOf(leaveNames, told.reason),
			PartitionsOwned:   partitionIDs(told.primaries, told.primary_count),
			PartitionsReplica: partitionIDs(told.replicas, told.replica_count),
			Timestamp:         event.Timestamp,
			Revision:          event.Revision,
		}
	case EventRebalanceStart, EventRebalanceComplete:
		told := C.ck_event_rebalance(c)
		event.Rebalance = &RebalanceEvent{
			Trigger:          nameOf(triggerNames, told.trigger),
			TriggerNodeID:    C.GoString(told.trigger_node_id),
			PartitionsToMove: int(told.partitions_to_move),
			NodesAffected:    textsOf(told.nodes_affected, told.nodes_affected_count),
			Duration:         durationOf(told.duration_ms),
			Timestamp:        event.Timestamp,
			Revision:         event.Revision,
		}
	case EventClusterHealthChange:
		told := C.ck_event_cluster_health(c)
		event.ClusterHealth = &ClusterHealthEvent{
			HealthyNodes:     int(told.healthy_nodes),
			UnhealthyNodes:   int(told.unhealthy_nodes),
			TotalNodes:       int(told.total_nodes),
			Status:           C.GoString(told.status),
			UnhealthyNodeIDs: textsOf(told.unhealthy_node_ids, C.size_t(told.unhealthy_nodes)),
			LostPartitions:   partitionIDs(told.lost_partitions, told.lost_partition_count),
			Timestamp:        event.Timestamp,
			Revision:         event.Revision,
		}
	case EventBecomeLeader, EventLoseLeadership, EventLeaderChange:
		told := C.ck_event_leadership(c)
		event.Leadership = &LeadershipEvent{
			NodeID:    self,
			Epoch:     uint64(told.epoch),
			Timestamp: event.Timestamp,
			Revision:  event.Revision,
		}
		if told.node_id != nil {
			event.Leadership.NodeID = C.GoString(told.node_id)
		}
	}
	return event
}

func readPartitionChange(event *Event, told *C.ck_partition_change_t) *PartitionChangeEvent {
	read := &PartitionChangeEvent{
		PartitionID:   C.GoString(told.partition_id),
		CopyFromNodes: readNodes(told.copy_from, told.copy_from_count),
		CopyToNode:    readNode(told.node),
		ChangeReason:  nameOf(reasonNames, told.reason),
		OldPrimary:    C.GoString(told.old_primary),
		NewPrimary:    C.GoString(told.new_primary),
		Timestamp:     event.Timestamp,
		Number:        int(told.partition),
		NodeID:        C.GoString(told.node_id),
		Change:        nameOf(changeNames, told.change),
		Epoch:         uint64(told.epoch),
		Revision:      event.Revision,
		Attempt:       event.Attempt,
	}
	if read.CopyToNode == nil {
		read.CopyToNode = &Node{ID: read.NodeID}
	}
	return read
}

func partitionIDs(numbers *C.uint32_t, count C.size_t) []string {
	ids := make([]string, 0, count)
	for _, number := range unsafe.Slice(numbers, count) {
		ids = append(ids, PartitionID(int(number)))
	}
	return ids
}

// JSON is the whole event as a JSON object, the same as over HTTP. It is there until the hook returns, or, of an event from a
// queue, until it is acknowledged; in a queue that observes, until the next is read.
//
// Errors: INVALID_ARGUMENT when it is too late.
func (e *Event) JSON() ([]byte, error) {
	if e.queue != nil {
		// Closing a queue ends its events.
		e.queue.source.mu.RLock()
		defer e.queue.source.mu.RUnlock()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.c == nil || (e.queue != nil && e.queue.source.c == nil) {
		return nil, invalidArgument("the event has ended: its JSON is not there any more")
	}
	stress()
	var length C.size_t
	text := C.ck_event_json(e.c, &length)
	return []byte(C.GoStringN(text, C.int(length))), nil
}

// end makes the event forget C's, which is not valid any more, and says what it was.
func (e *Event) end() *C.ck_event_t {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.c
	e.c = nil
	return c
}

// Completion ends a call of a hook that has returned before its work was done.
type Completion struct {
	mu      sync.Mutex
	c       *C.ck_completion_t
	cleanup runtime.Cleanup
}

// Defer lets a hook return before its work is done: the call ends when End of the completion is called, by any goroutine, and
// what the hook returns counts no more. Until then what must wait for the call waits, but no thread of the library does. For
// hooks of [ClusterKit.AddHook]; inside the call only.
//
// Errors: INVALID_ARGUMENT, also the second time, and for an event of a queue.
func (e *Event) Defer() (*Completion, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.c == nil || e.queue != nil {
		return nil, invalidArgument("only a hook can defer the end of its call, and only before it returns")
	}
	var c *C.ck_completion_t
	if failed := C.ck_event_defer(e.c, &c); failed != nil {
		return nil, takeError(failed)
	}
	completion := &Completion{c: c}
	// A call that nobody can end any more has failed. What must wait for it would wait for ever.
	completion.cleanup = runtime.AddCleanup(completion, func(c *C.ck_completion_t) {
		endCompletion(c, invalidArgument("the hook deferred its end, and forgot it"))
	}, c)
	return completion, nil
}

// End ends the call: with nil as success, else as a failure, as if the hook had returned the error. Ending it again does nothing.
func (c *Completion) End(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.c == nil {
		return
	}
	c.cleanup.Stop()
	endCompletion(c.c, err)
	c.c = nil
	runtime.KeepAlive(c)
}

func endCompletion(c *C.ck_completion_t, err error) {
	if err == nil {
		C.ck_completion_end(c, 0, nil, 0)
		return
	}
	text, length := textOf(err.Error())
	C.ck_completion_end(c, 1, text, length)
}
