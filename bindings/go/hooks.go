//go:build cgo

package clusterkit

import "time"

// Hooks that are told of one kind of events. Their events come by pointer and are the hook's alone.
type (
	// PartitionChangeHook is called when a node gains a partition, or the primary role in it.
	PartitionChangeHook func(event *PartitionChangeEvent)
	// PartitionChangeErrHook is a PartitionChangeHook that may fail: then it is called again later.
	PartitionChangeErrHook func(event *PartitionChangeEvent) error
	// PartitionLostHook is called when a node loses a partition, or the primary role in it.
	PartitionLostHook func(event *PartitionChangeEvent)
	// NodeJoinHook is called when a node that was never a member has joined.
	NodeJoinHook func(event *NodeJoinEvent)
	// NodeRejoinHook is called when a member is back.
	NodeRejoinHook func(event *NodeRejoinEvent)
	// NodeLeaveHook is called when a member stopped, failed, or was removed.
	NodeLeaveHook func(event *NodeLeaveEvent)
	// RebalanceStartHook is called when partitions begin to move.
	RebalanceStartHook func(event *RebalanceEvent)
	// RebalanceCompleteHook is called when every partition is where it should be.
	RebalanceCompleteHook func(event *RebalanceEvent, duration time.Duration)
	// ClusterHealthChangeHook is called when the cluster's health changed.
	ClusterHealthChangeHook func(event *ClusterHealthEvent)
	// LeadershipHook is called when leadership began, ended, or moved.
	LeadershipHook func(event *LeadershipEvent)
)

// AddHook adds a hook for events of several kinds: EventNodeJoin | EventNodeLeave. An error is a failure: it is logged, and
// where this node gains a copy of a partition the call is made again later. So is a panic. docs/hooks.md tells of order,
// concurrency and retries.
//
// Hooks may be added before and after the start: one that takes partition changes is first told what this node holds already.
// A hook may block, and may call every method of its node, but that Start, Stop and Leave answer IN_HOOK. It must not end its
// goroutine: runtime.Goexit, and so FailNow and Fatal of testing, end the process when C is the caller.
//
// Errors: INVALID_ARGUMENT; STOPPED.
func (ck *ClusterKit) AddHook(kinds EventKind, call func(event *Event) error) (*Hook, error) {
	hook := ck.addHook(kinds, false, call)
	return hook, hook.err
}

// OnEvent adds a hook that observes: it is called for every event from now on, one after the other, in order. Nothing waits for
// it, however long it takes, and it confirms no copy.
func (ck *ClusterKit) OnEvent(call func(event *Event)) *Hook {
	if call == nil {
		return ck.addHook(EventAll, true, nil)
	}
	return ck.addHook(EventAll, true, func(event *Event) error {
		call(event)
		return nil
	})
}

// OnPartitionChange adds a hook that is called when a node, this one or another, gains a partition or the primary role in it.
// Where it is this node (event.CopyToNode.ID), copy the data from one of event.CopyFromNodes: when the hook returns, the cluster
// counts on the copy. A panic is a failure, and the hook is called again later. See [ClusterKit.OnPartitionLost] for losses.
func (ck *ClusterKit) OnPartitionChange(call PartitionChangeHook) *Hook {
	if call == nil {
		return ck.addHook(EventPartitionChange, false, nil)
	}
	return ck.addCopier(func(event *PartitionChangeEvent) error {
		call(event)
		return nil
	})
}

// OnPartitionChangeErr is [ClusterKit.OnPartitionChange] with a hook that may fail: then the copy does not count, and the hook is
// called again later.
func (ck *ClusterKit) OnPartitionChangeErr(call PartitionChangeErrHook) *Hook {
	if call == nil {
		return ck.addHook(EventPartitionChange, false, nil)
	}
	return ck.addCopier(call)
}

// OnNodeJoin adds a hook that is called when a node that was never a member has joined.
func (ck *ClusterKit) OnNodeJoin(call NodeJoinHook) *Hook {
	return on(ck, EventNodeJoin, call != nil, func(event *Event) { call(event.NodeJoin) })
}

// OnNodeRejoin adds a hook that is called when a member is back, this node too: before its first partition is copied.
func (ck *ClusterKit) OnNodeRejoin(call NodeRejoinHook) *Hook {
	return on(ck, EventNodeRejoin, call != nil, func(event *Event) { call(event.NodeRejoin) })
}

// OnNodeLeave adds a hook that is called when a member stopped, failed, or was removed.
func (ck *ClusterKit) OnNodeLeave(call NodeLeaveHook) *Hook {
	return on(ck, EventNodeLeave, call != nil, func(event *Event) { call(event.NodeLeave) })
}

// OnRebalanceStart adds a hook that is called when partitions begin to move.
func (ck *ClusterKit) OnRebalanceStart(call RebalanceStartHook) *Hook {
	return on(ck, EventRebalanceStart, call != nil, func(event *Event) { call(event.Rebalance) })
}

// OnRebalanceComplete adds a hook that is called when every partition is where it should be, with how long that took.
func (ck *ClusterKit) OnRebalanceComplete(call RebalanceCompleteHook) *Hook {
	return on(ck, EventRebalanceComplete, call != nil, func(event *Event) { call(event.Rebalance, event.Rebalance.Duration) })
}

// OnClusterHealthChange adds a hook that is called when the cluster's health changed.
func (ck *ClusterKit) OnClusterHealthChange(call ClusterHealthChangeHook) *Hook {
	return on(ck, EventClusterHealthChange, call != nil, func(event *Event) { call(event.ClusterHealth) })
}

// OnBecomeLeader adds a hook that is called when this node leads.
func (ck *ClusterKit) OnBecomeLeader(call LeadershipHook) *Hook {
	return on(ck, EventBecomeLeader, call != nil, func(event *Event) { call(event.Leadership) })
}

// OnLoseLeadership adds a hook that is called when this node leads no longer.
func (ck *ClusterKit) OnLoseLeadership(call LeadershipHook) *Hook {
	return on(ck, EventLoseLeadership, call != nil, func(event *Event) { call(event.Leadership) })
}

// OnLeaderChange adds a hook that is called when somebody leads, this node too.
func (ck *ClusterKit) OnLeaderChange(call LeadershipHook) *Hook {
	return on(ck, EventLeaderChange, call != nil, func(event *Event) { call(event.Leadership) })
}

// on adds a hook without a result for one kind of events.
func on(ck *ClusterKit, kind EventKind, isThere bool, call func(event *Event)) *Hook {
	if !isThere {
		return ck.addHook(kind, false, nil)
	}
	return ck.addHook(kind, false, func(event *Event) error {
		call(event)
		return nil
	})
}
