package clusterkit

// #include "glue.h"
import "C"

import (
	"strings"
	"time"
)

// EventKind is a kind of events, or several together.
type EventKind uint32

// The kinds. docs/hooks.md tells of each, and of the order in which they come.
const (
	// EventPartitionChange: a node gained or lost a partition, or a role in it.
	EventPartitionChange EventKind = C.CK_EVENT_PARTITION_CHANGE
	// EventNodeJoin: a node that was never a member has joined.
	EventNodeJoin EventKind = C.CK_EVENT_NODE_JOIN
	// EventNodeRejoin: a member is back, or has restarted.
	EventNodeRejoin EventKind = C.CK_EVENT_NODE_REJOIN
	// EventNodeLeave: a member stopped, failed, or was removed.
	EventNodeLeave EventKind = C.CK_EVENT_NODE_LEAVE
	// EventRebalanceStart: partitions begin to move.
	EventRebalanceStart EventKind = C.CK_EVENT_REBALANCE_START
	// EventRebalanceComplete: every partition is where it should be.
	EventRebalanceComplete EventKind = C.CK_EVENT_REBALANCE_COMPLETE
	// EventClusterHealthChange: the cluster's health changed.
	EventClusterHealthChange EventKind = C.CK_EVENT_CLUSTER_HEALTH_CHANGE
	// EventBecomeLeader: this node leads now. Told on this node only.
	EventBecomeLeader EventKind = C.CK_EVENT_BECOME_LEADER
	// EventLoseLeadership: this node leads no longer. Told on this node only.
	EventLoseLeadership EventKind = C.CK_EVENT_LOSE_LEADERSHIP
	// EventLeaderChange: somebody leads now.
	EventLeaderChange EventKind = C.CK_EVENT_LEADER_CHANGE
	// EventAll is every event, kinds that later libraries add included.
	EventAll EventKind = C.CK_EVENT_ALL
)

var kindNames = []struct {
	kind EventKind
	name string
}{
	{EventPartitionChange, "partition_change"},
	{EventNodeJoin, "node_join"},
	{EventNodeRejoin, "node_rejoin"},
	{EventNodeLeave, "node_leave"},
	{EventRebalanceStart, "rebalance_start"},
	{EventRebalanceComplete, "rebalance_complete"},
	{EventClusterHealthChange, "cluster_health_change"},
	{EventBecomeLeader, "become_leader"},
	{EventLoseLeadership, "lose_leadership"},
	{EventLeaderChange, "leader_change"},
}

// String is the kind's name, such as "node_join"; names of several are joined by "|".
func (k EventKind) String() string {
	if k == EventAll {
		return "all"
	}
	var names []string
	for _, known := range kindNames {
		if k&known.kind != 0 {
			names = append(names, known.name)
			k &^= known.kind
		}
	}
	if k != 0 || len(names) == 0 {
		names = append(names, "unknown")
	}
	return strings.Join(names, "|")
}

// PartitionChangeEvent tells that a node gained or lost a partition, or a role in it. Every node hears of all: compare
// CopyToNode.ID, or NodeID, with your own.
type PartitionChangeEvent struct {
	// PartitionID is the partition's name, such as "partition-5".
	PartitionID string
	// CopyFromNodes are live nodes that hold the data, where the node has to copy it; none where it has nothing to copy.
	CopyFromNodes []*Node
	// CopyToNode is the node that gains or loses, as a member. It is never nil: of a node that is no member any more only the
	// ID is known.
	CopyToNode *Node
	// ChangeReason says why: one of the Reason constants.
	ChangeReason string
	// OldPrimary and NewPrimary are ids; empty when there was or is none.
	OldPrimary, NewPrimary string
	// Timestamp is when, by the wall clock of the node that proposed it.
	Timestamp time.Time
	// Number is the partition's number.
	Number int
	// NodeID is the node that gains or loses.
	NodeID string
	// Change is what it gains or loses: one of the Change constants.
	Change string
	// Epoch is the partition's epoch after the change: the fencing token.
	Epoch uint64
	// Revision is that which brought it about.
	Revision uint64
	// Attempt is the number of the call for this event, from 1: a failed copy is tried again.
	Attempt int
}

// What a node gains or loses.
const (
	// ChangeGainedReplica: the node is to hold a copy. Copy the data; when the hook returns, it is there.
	ChangeGainedReplica = "gained_replica"
	// ChangeGainedPrimary: the node takes the writes from now on.
	ChangeGainedPrimary = "gained_primary"
	// ChangeLostPrimary: the node takes writes no longer; it still holds its copy.
	ChangeLostPrimary = "lost_primary"
	// ChangeLostCopy: the node holds the partition no longer, and may delete the data.
	ChangeLostCopy = "lost_copy"
)

// IsGain is true when the node gains something.
func (e *PartitionChangeEvent) IsGain() bool {
	return e.Change == ChangeGainedReplica || e.Change == ChangeGainedPrimary
}

// Why a partition moves.
const (
	ReasonNodeJoin  = "node_join"
	ReasonNodeLeave = "node_leave"
	ReasonRebalance = "rebalance"
	ReasonManual    = "manual"
)

// NodeJoinEvent tells that a node that was never a member has joined.
type NodeJoinEvent struct {
	// Node is the new member.
	Node *Node
	// ClusterSize is the number of members, this one included.
	ClusterSize int
	// IsBootstrap is true for the first node of a new cluster.
	IsBootstrap bool
	Timestamp   time.Time
	Revision    uint64
}

// NodeRejoinEvent tells that a member is back, after an absence or a restart.
type NodeRejoinEvent struct {
	// Node is the member, with its new address and incarnation.
	Node *Node
	// OfflineDuration is how long it was away.
	OfflineDuration time.Duration
	// LastSeenAt is when it stopped or was last heard from.
	LastSeenAt time.Time
	// PartitionsBeforeLeave are the partitions that it held when it left.
	PartitionsBeforeLeave []string
	Timestamp             time.Time
	Revision              uint64
}

// NodeLeaveEvent tells that a member stopped, failed, or was removed.
type NodeLeaveEvent struct {
	// Node is the member as it was.
	Node *Node
	// Reason is one of the Leave constants.
	Reason string
	// PartitionsOwned are the partitions that it took the writes of.
	PartitionsOwned []string
	// PartitionsReplica are the partitions that it held another copy of.
	PartitionsReplica []string
	Timestamp         time.Time
	Revision          uint64
}

// Why a member left.
const (
	// LeaveHealthCheckFailure: it sent no heartbeat for too long.
	LeaveHealthCheckFailure = "health_check_failure"
	// LeaveGracefulShutdown: it stopped or left in an orderly way.
	LeaveGracefulShutdown = "graceful_shutdown"
	// LeaveRemovedByAdmin: an administrator removed it.
	LeaveRemovedByAdmin = "removed_by_admin"
)

// RebalanceEvent tells that partitions begin to move, or have moved.
type RebalanceEvent struct {
	// Trigger is one of the Trigger constants.
	Trigger string
	// TriggerNodeID is the node that caused it; empty for one that was asked for.
	TriggerNodeID string
	// PartitionsToMove is the number of partitions that change a holder or their primary.
	PartitionsToMove int
	// NodesAffected are the ids of the nodes that gain or lose something, sorted.
	NodesAffected []string
	// Duration is how long it took; 0 at the start.
	Duration  time.Duration
	Timestamp time.Time
	Revision  uint64
}

// What caused a rebalance.
const (
	TriggerNodeJoin  = "node_join"
	TriggerNodeLeave = "node_leave"
	TriggerManual    = "manual"
)

// ClusterHealthEvent tells that the cluster's health changed.
type ClusterHealthEvent struct {
	// HealthyNodes is the number of members that are up and say that they are healthy, UnhealthyNodes that of the others.
	HealthyNodes, UnhealthyNodes, TotalNodes int
	// Status is "healthy", "degraded" (some members are not) or "critical" (more than half are not, or partitions are lost).
	Status string
	// UnhealthyNodeIDs are sorted.
	UnhealthyNodeIDs []string
	// LostPartitions are the partitions of which no node that is up holds the data.
	LostPartitions []string
	Timestamp      time.Time
	Revision       uint64
}

// LeadershipEvent tells that leadership began, ended, or moved to another node.
type LeadershipEvent struct {
	// NodeID is the leader; in an event that this node leads no longer, this node.
	NodeID string
	// Epoch is the leader epoch, a fencing token: it only grows.
	Epoch     uint64
	Timestamp time.Time
	Revision  uint64
}

var changeNames = map[C.int32_t]string{
	C.CK_CHANGE_GAINED_REPLICA: ChangeGainedReplica,
	C.CK_CHANGE_GAINED_PRIMARY: ChangeGainedPrimary,
	C.CK_CHANGE_LOST_PRIMARY:   ChangeLostPrimary,
	C.CK_CHANGE_LOST_COPY:      ChangeLostCopy,
}

var reasonNames = map[C.int32_t]string{
	C.CK_REASON_NODE_JOIN:  ReasonNodeJoin,
	C.CK_REASON_NODE_LEAVE: ReasonNodeLeave,
	C.CK_REASON_REBALANCE:  ReasonRebalance,
	C.CK_REASON_MANUAL:     ReasonManual,
}

var leaveNames = map[C.int32_t]string{
	C.CK_LEAVE_HEALTH_CHECK_FAILURE: LeaveHealthCheckFailure,
	C.CK_LEAVE_GRACEFUL_SHUTDOWN:    LeaveGracefulShutdown,
	C.CK_LEAVE_REMOVED_BY_ADMIN:     LeaveRemovedByAdmin,
}

var triggerNames = map[C.int32_t]string{
	C.CK_TRIGGER_NODE_JOIN:  TriggerNodeJoin,
	C.CK_TRIGGER_NODE_LEAVE: TriggerNodeLeave,
	C.CK_TRIGGER_MANUAL:     TriggerManual,
}
